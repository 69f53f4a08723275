<?php

/*
 * Adds jobs:
 *
 *     php produce.php [queue [number [text]]]
 *
 * PEPPERBUS_HOST, PEPPERBUS_PORT and PEPPERBUS_PASSWORD say where the broker is.
 */

require __DIR__ . '/../autoload.php';
require __DIR__ . '/conf.php';

$queue = $argv[1] ?? 'hello';
$number = max(1, (int) ($argv[2] ?? 1));

try {
    for ($i = 1; $i <= $number; $i++) {
        $data = $argv[3] ?? ['text' => "hello $i", 'at' => date('c')];
        $id = PepperBus::getInstance()->addJob($queue, $data);
        echo "added job $id to $queue: ", is_string($data) ? $data : $data['text'], "\n";
    }
} catch (Pepper\Bus\BusException $e) {
    fwrite(STDERR, "not added: {$e->getMessage()}\n");
    exit(1);
}

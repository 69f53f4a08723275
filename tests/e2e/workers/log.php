<?php
/* Appends a line "id content" to $T/handled.QUEUE.TOPIC for each job. */
require __DIR__ . '/reply.php';
ping('q/log', 'q/a', 'q/b', 'q/c', 'q/d', 'p/log', 'r/log', 'ledger/one', 'ledger/two');
$lines = '';
foreach (jobs() as $job) {
    $lines .= $job['id'] . ' ' . $job['content'] . "\n";
}
note("handled.$_POST[queue].$_POST[topic]", rtrim($lines, "\n"));
reply(200, 'logged');

<?php

/*
 * Loads the SDK without composer: one `require` of this file is all a producer or a
 * worker needs. With composer, vendor/autoload.php does the same.
 */

spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'Pepper\\Bus\\', 11) !== 0) {
        return;
    }
    $file = __DIR__ . '/src/' . strtr(substr($class, 11), '\\', '/') . '.php';
    if (is_file($file)) {
        require $file;
    }
});

require_once __DIR__ . '/src/bootstrap.php';

<?php

error_reporting(E_ALL & ~E_DEPRECATED); // Debian's predis is older than its PHP
require __DIR__ . '/../autoload.php';

spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'Pepper\\Bus\\Tests\\', 17) === 0) {
        $file = __DIR__ . '/' . strtr(substr($class, 17), '\\', '/') . '.php';
        is_file($file) && require $file;
    }
});

<?php

/*
 * Runs once when the SDK is loaded, by composer or by autoload.php: makes the global
 * class names of older applications known, and puts the guard around a worker request.
 */

namespace Pepper\Bus;

// Lazily, and last in the chain: an application's own class of the same name wins.
spl_autoload_register(static function (string $class): void {
    static $aliases = [
        'pepperbus' => PepperBus::class,
        'processclient' => ProcessClient::class,
        'pepperbusclient' => PepperBusClient::class,
        'pepperbusserver' => PepperBusServer::class,
        'pepperbusworker' => PepperBusWorker::class,
        'request' => Request::class,
        'response' => Response::class,
    ];
    $target = $aliases[strtolower($class)] ?? null;
    if ($target !== null && class_exists($target)) {
        class_alias($target, $class);
    }
});

// As early as can be: what the worker file prints or breaks before do() counts as well.
if (\PHP_SAPI !== 'cli' && Request::isBusRequest()) {
    Guard::install();
}

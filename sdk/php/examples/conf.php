<?php

/*
 * What an application has in its own configuration. The examples take it from the environment.
 */

$BUS_CONF = [
    'password' => getenv('PEPPERBUS_PASSWORD') ?: '',
    'servers' => [[
        'host' => getenv('PEPPERBUS_HOST') ?: '127.0.0.1', // or unix:/path
        'port' => (int) (getenv('PEPPERBUS_PORT') ?: 12017),
        'timeout' => 3,
    ]],
];

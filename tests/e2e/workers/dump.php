<?php
/* Keeps the whole request as JSON, a line each, in $T/requests. */
require __DIR__ . '/reply.php';
note('requests', json_encode(['post' => $_POST, 'length' => strlen(file_get_contents('php://input')),
    'server' => array_intersect_key($_SERVER, array_flip(['REQUEST_METHOD', 'CONTENT_TYPE', 'CONTENT_LENGTH',
        'SCRIPT_FILENAME', 'SCRIPT_NAME', 'GATEWAY_INTERFACE', 'SERVER_PROTOCOL', 'SERVER_SOFTWARE',
        'HTTP_TRACEPARENT', 'HTTP_X_PEPPERBUS_TRACE']))], JSON_INVALID_UTF8_SUBSTITUTE));
ping('q/dump');
reply(200);

<?php
/* Keeps the whole request as JSON, a line each, in $T/requests. */
require __DIR__ . '/reply.php';
note('requests', json_encode(['post' => $_POST, 'server' => array_intersect_key($_SERVER, array_flip(
    ['REQUEST_METHOD', 'CONTENT_TYPE', 'CONTENT_LENGTH', 'SCRIPT_FILENAME', 'SCRIPT_NAME', 'GATEWAY_INTERFACE', 'SERVER_PROTOCOL']
))], JSON_INVALID_UTF8_SUBSTITUTE));
ping('q/dump');
reply(200);

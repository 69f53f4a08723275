<?php
/* Registers another topic than it is called for: 404 for data too. */
require __DIR__ . '/reply.php';
ping('other/topic');
note('wrongly', 'a job was spent');
reply(404, 'not registered');

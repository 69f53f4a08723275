<?php

// Frameworks that take a request into an object of their own like to empty what it came in.
$_POST = $_REQUEST = $_GET = [];
$_SERVER = array_intersect_key($_SERVER, ['SCRIPT_FILENAME' => 1]);

require __DIR__ . '/behaviours.php';

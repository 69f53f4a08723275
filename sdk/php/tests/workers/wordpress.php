<?php

// What WordPress does to a request: slashes everywhere (wp_magic_quotes()), before any handler runs.
$slashed = static function ($value) use (&$slashed) {
    return is_array($value) ? array_map($slashed, $value) : (is_string($value) ? addslashes($value) : $value);
};
$_POST = $slashed($_POST);
$_SERVER = $slashed($_SERVER);
$_REQUEST = $_POST;

require __DIR__ . '/behaviours.php';

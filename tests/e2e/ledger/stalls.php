<?php
/* Notes in $T/stalls ("from until", ms) when this machine has stood still for whoever wanted to work:
 * a short pause, now and then with a byte's way to the disk, took much longer than it takes. */
const PAUSE_US = 20000;
const WORTH_MS = 50;

$t = getenv('T');
$disk = fopen("$t/stalls.byte", 'w');
$stalls = fopen("$t/stalls", 'a');
for ($n = 0;; $n++) {
    $from = (int) (microtime(true) * 1000);
    usleep(PAUSE_US);
    if ($n % 5 === 0) {
        fwrite($disk, '.');
        function_exists('fsync') ? fsync($disk) : fflush($disk); // PHP 8.1
    }
    $until = (int) (microtime(true) * 1000);
    if ($until - $from > WORTH_MS) {
        fwrite($stalls, "$from $until\n");
    }
}

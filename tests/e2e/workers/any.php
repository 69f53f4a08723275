<?php
/* Registers whatever it is asked for, and appends "id content" to $T/handled for each job, and before
 * that "id ms" to $T/ran. With a file $T/broken it says why it fails instead. */
require __DIR__ . '/reply.php';
ping("$_POST[queue]/$_POST[topic]");
$why = @file_get_contents(getenv('T') . '/broken');
if ($why !== false) {
    note('tries', implode(' ', array_column(jobs(), 'id')));
    reply(500, $why);
    exit;
}
foreach (jobs() as $job) {
    note('ran', "$job[id] " . (int) (microtime(true) * 1000));
    note('handled', "$job[id] $job[content]");
}
reply(200, 'noted');

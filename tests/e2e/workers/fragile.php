<?php
/* Fails with the text of $T/broken while that file is there; else like log.php. */
require __DIR__ . '/reply.php';
ping('q/fragile', 'q/b');
foreach (jobs() as $job) {
    note('tries', "$job[id] $job[content] attempt=$job[RetryTimes] retrying=$job[retrying] " .
        'begin=' . var_export($job['BeginRetry'], true) . ' at=' . (int) (microtime(true) * 1000));
}
if (is_file(getenv('T') . '/broken')) {
    header('Error-Code: E42');
    reply(500, trim(file_get_contents(getenv('T') . '/broken')));
    exit;
}
foreach (jobs() as $job) {
    note("handled.$_POST[queue].$_POST[topic]", "$job[id] $job[content]");
}
reply(200);

<?php
/* Registers whatever it is asked for, and appends "id bytes" to $T/handled for each job, as soon as
 * there is no file $T/hold. */
require __DIR__ . '/reply.php';
ping("$_POST[queue]/$_POST[topic]");
while (file_exists(getenv('T') . '/hold')) {
    usleep(10000);
    clearstatcache();
}
foreach (jobs() as $job) {
    note('handled', "$job[id] " . strlen($job['content']));
}
reply(200);

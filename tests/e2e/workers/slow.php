<?php
/* Takes as many milliseconds as the job's content says, or as long as the file $T/hold is there for
 * one that is "held"; notes begin and end. */
require __DIR__ . '/reply.php';
ping('q/slow', 'q/slow2', 'r/slow');
foreach (jobs() as $job) {
    note('begun', "$job[id] $job[content] $job[RetryTimes]");
    while ($job['content'] === 'held' && file_exists(getenv('T') . '/hold')) {
        usleep(10000);
        clearstatcache();
    }
    usleep((int) $job['content'] * 1000);
    note('ended', "$job[id] $job[content] $job[RetryTimes]");
}
reply(200);

<?php
/* Takes as many milliseconds as the job's content says; notes begin and end. */
require __DIR__ . '/reply.php';
ping('q/slow', 'q/slow2', 'r/slow');
foreach (jobs() as $job) {
    note('begun', "$job[id] $job[content] $job[RetryTimes]");
    usleep((int) $job['content'] * 1000);
    note('ended', "$job[id] $job[content] $job[RetryTimes]");
}
reply(200);

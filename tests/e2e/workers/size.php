<?php
/* Registers whatever it is asked for, and appends "id bytes" to $T/handled for each job. */
require __DIR__ . '/reply.php';
ping("$_POST[queue]/$_POST[topic]");
foreach (jobs() as $job) {
    note('handled', "$job[id] " . strlen($job['content']));
}
reply(200);

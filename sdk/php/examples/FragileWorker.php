<?php

/*
 * A worker to be broken and mended: while the flag file exists every job fails, and the broker
 * tries again, keeps what has failed for good, and replays it when told so.
 *
 *     touch "$PEPPERBUS_EXAMPLE_FLAG"     # default: fragile.broken in the temporary directory
 *     rm "$PEPPERBUS_EXAMPLE_FLAG"
 *
 * Topic: hello/fragile
 */

require __DIR__ . '/../autoload.php';

use Pepper\Bus\Job;

class FragileWorker
{
    public function run(Job $job)
    {
        $flag = getenv('PEPPERBUS_EXAMPLE_FLAG') ?: sys_get_temp_dir() . '/fragile.broken';
        if (file_exists($flag)) {
            throw new RuntimeException("the worker is broken: remove $flag to mend it");
        }
        $line = date('H:i:s') . " FragileWorker: job $job->id, attempt $job->attempt: $job->content";
        $log = getenv('PEPPERBUS_EXAMPLE_LOG');
        $log ? file_put_contents($log, "$line\n", FILE_APPEND | LOCK_EX) : error_log($line);
        return 'done';
    }
}

PepperBus::getInstance()->register('hello', 'fragile', 'FragileWorker', 'run')->do();

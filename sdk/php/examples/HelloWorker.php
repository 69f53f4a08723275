<?php

/*
 * The least there is to a worker: it says what it got. The lines go to the file named by
 * PEPPERBUS_EXAMPLE_LOG, else to php-fpm's log. Topic: hello/print
 */

require __DIR__ . '/../autoload.php';

class HelloWorker
{
    public function run(Request $request)
    {
        foreach ($request->getJobs() as $job) {
            $line = date('H:i:s') . " HelloWorker: job {$job['id']}, attempt {$job['RetryTimes']}: {$job['content']}";
            $log = getenv('PEPPERBUS_EXAMPLE_LOG');
            $log ? file_put_contents($log, "$line\n", FILE_APPEND | LOCK_EX) : error_log($line);
        }
        return 'printed';
    }
}

PepperBus::getInstance()->register('hello', 'print', 'HelloWorker', 'run')->do();

<?php

/*
 * Handles every topic that the broker asks it for: for a first try, before there is a worker of one's
 * own. The lines go to the file named by PEPPERBUS_EXAMPLE_LOG, else to php-fpm's log.
 */

require __DIR__ . '/../autoload.php';

use Pepper\Bus\Job;
use Pepper\Bus\Request;

class AnyTopicWorker
{
    public function run(Job $job)
    {
        $line = date('H:i:s') . " AnyTopicWorker: job $job->id, attempt $job->attempt: $job->content";
        $log = getenv('PEPPERBUS_EXAMPLE_LOG');
        $log ? file_put_contents($log, "$line\n", FILE_APPEND | LOCK_EX) : error_log($line);
        return "got {$job->content}";
    }
}

[$queue, $topic] = explode('/', Request::fromGlobals()->getQueuePath(), 2);
PepperBus::getInstance()->register($queue, $topic, 'AnyTopicWorker', 'run')->do();

<?php

/*
 * Registers every topic that the broker asks it for, and fails at every job: to see how failures look,
 * and how jobs are replayed once the topic has another worker.
 */

require __DIR__ . '/../autoload.php';

use Pepper\Bus\Job;
use Pepper\Bus\Request;

class BrokenWorker
{
    public function run(Job $job)
    {
        throw new RuntimeException("SMTP connect() failed: mail server 10.0.0.25 does not answer (job $job->id)");
    }
}

[$queue, $topic] = explode('/', Request::fromGlobals()->getQueuePath(), 2);
PepperBus::getInstance()->register($queue, $topic, 'BrokenWorker', 'run')->do();

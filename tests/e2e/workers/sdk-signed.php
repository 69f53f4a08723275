<?php
/* A worker with the SDK that takes only signed requests; its keys stand in $T/keys, one a line. */
require __DIR__ . '/../../../sdk/php/autoload.php';

use Pepper\Bus\Job;

class SignedWorker
{
    public function run(Job $job)
    {
        usleep(strncmp($job->content, 'slow ', 5) === 0 ? 1000 * (int) substr($job->content, 5) : 0);
        file_put_contents(getenv('T') . "/ran.$job->topic", "$job->id $job->attempt $job->content\n", FILE_APPEND | LOCK_EX);
        return 'done';
    }
}

PepperBus::getInstance()
    ->register('q', 'web', 'SignedWorker', 'run')
    ->register('q', 'fpm', 'SignedWorker', 'run')
    ->signedWith(file(getenv('T') . '/keys', FILE_IGNORE_NEW_LINES))
    ->do();

<?php
/* A worker with the SDK. Notes each request with its number of jobs in $T/chunks, each call in
 * $T/calls, and does what the job's content says. */
require __DIR__ . '/../../../sdk/php/autoload.php';

use Pepper\Bus\Job;

class ChunkWorker
{
    public function run(Job $job)
    {
        file_put_contents(getenv('T') . '/calls', "$job->id $job->content $job->attempt\n", FILE_APPEND | LOCK_EX);
        switch (strtok($job->content, ' ')) {
            case 'throw':
                throw new DomainException("about $job->content");
            case 'exit':
                exit;
            case 'fatal':
                eval('class ChunkWorker {}');
                break;
            case 'kill':
                posix_kill(getmypid(), 9);
                break;
            case 'slow':
                usleep(1000 * (int) strtok(' '));
        }
        return "did $job->content";
    }
}

if (($_POST['type'] ?? '') === 'data') {
    file_put_contents(getenv('T') . '/chunks', count(json_decode($_POST['jobs'])) . "\n", FILE_APPEND | LOCK_EX);
}
PepperBus::getInstance()->register('q', 'chunk', 'ChunkWorker', 'run')->do();

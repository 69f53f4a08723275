<?php

/*
 * For a topic with `chunk` above 1, and for jobs of any bytes. Each job is handed over by itself
 * and has its own outcome: an empty one fails here and the others are done. Topic: hello/chunk
 */

require __DIR__ . '/../autoload.php';

use Pepper\Bus\Job;

class ChunkWorker
{
    /** Made once for each job, so no job finds what another left behind. */
    public function run(Job $job)
    {
        if ($job->content === '') {
            throw new InvalidArgumentException('an empty job cannot be handled');
        }
        $sum = hash('crc32b', $job->content);
        $line = date('H:i:s') . " ChunkWorker: job $job->id, " . strlen($job->content) . " bytes, crc32 $sum, delivery $job->outTraceId";
        $log = getenv('PEPPERBUS_EXAMPLE_LOG');
        $log ? file_put_contents($log, "$line\n", FILE_APPEND | LOCK_EX) : error_log($line);
        return ['bytes' => strlen($job->content), 'crc32' => $sum];
    }
}

PepperBus::getInstance()->register('hello', 'chunk', 'ChunkWorker', 'run')->do();

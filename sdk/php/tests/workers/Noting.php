<?php

use Pepper\Bus\Batch;
use Pepper\Bus\Job;

/** Notes each job in a file that a test reads: topic, id, attempt, md5 and length of the content. */
class Noting
{
    public function note(Job $job)
    {
        $file = getenv('SDK_TEST_DIR') . '/' . str_replace('/', '.', "$job->queue.$job->topic");
        file_put_contents($file, "$job->id $job->attempt " . md5($job->content) . ' ' . strlen($job->content) . "\n", FILE_APPEND | LOCK_EX);
        return 'noted';
    }

    public function moody(Job $job)
    {
        if ($job->attempt === 1) {
            if ($job->content === 'exit') {
                exit;
            }
            if ($job->content === 'throw') {
                throw new Exception('not yet');
            }
        }
        return $this->note($job);
    }

    /** Fails one by one at the first attempt. */
    public function batch(Batch $batch)
    {
        foreach ($batch as $job) {
            if ($job->attempt === 1 && $job->content === 'fail') {
                $batch->fail($job, 'not yet');
            } else {
                $this->note($job);
                $batch->done($job, count($batch) . ' together');
            }
        }
    }
}

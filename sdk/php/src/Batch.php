<?php

namespace Pepper\Bus;

/**
 * All jobs of one request, for handlers whose first parameter is a Batch.
 *
 *     public function run(Batch $batch)
 *     {
 *         foreach ($batch as $job) { ... }
 *         $batch->fail($job, "no such room");     // this one failed
 *     }
 *
 * When the handler returns, the jobs it said nothing of are done. When it throws, or ends the
 * script, they have failed; what was said before counts.
 *
 * @implements \IteratorAggregate<int,Job>
 */
final class Batch implements \IteratorAggregate, \Countable
{
    /** @var string */
    public $queue;
    /** @var string */
    public $topic;
    /** @var string this delivery */
    public $outTraceId;
    /** @var Job[] by place in the request; those that cannot be read are not among them */
    private $jobs = [];
    /** @var string[] ids of all, by place in the request */
    private $ids = [];
    /** @var array<int,array{int,string}> code and message, by place */
    private $said = [];

    /** @internal */
    public function __construct(Request $request)
    {
        $this->queue = $request->queue;
        $this->topic = $request->topic;
        $this->outTraceId = $request->outTraceId;
        foreach ($request->jobs as $i => $job) {
            $this->ids[$i] = (string) $job['id'];
            if (isset($job['problem'])) {
                $this->said[$i] = [Response::FAILED, $job['problem']];
            } else {
                $this->jobs[$i] = new Job($job, $request);
            }
        }
    }

    /** @return Job[] */
    public function jobs(): array
    {
        return array_values($this->jobs);
    }

    /** @return \ArrayIterator<int,Job> */
    public function getIterator(): \Traversable
    {
        return new \ArrayIterator($this->jobs());
    }

    public function count(): int
    {
        return count($this->jobs);
    }

    /** This one is done, whatever becomes of the others. */
    public function done(Job $job, string $message = ''): void
    {
        $this->said[$this->place($job)] = [Response::OK, Response::shorten($message)];
    }

    /**
     * This one failed, whatever becomes of the others.
     *
     * @param string|\Throwable $why
     */
    public function fail(Job $job, $why): void
    {
        $this->said[$this->place($job)] = [
            Response::FAILED,
            Response::shorten($why instanceof \Throwable ? Response::ofThrowable($why)->content : (string) $why),
        ];
    }

    /**
     * @internal
     * @return array<int,array{id:string,code:int,msg:string}>
     */
    public function results(int $code, string $message): array
    {
        $results = [];
        $message = Response::shorten($message);
        foreach ($this->ids as $i => $id) {
            [$its, $text] = $this->said[$i] ?? [$code, $message];
            $results[] = ['id' => $id, 'code' => $its, 'msg' => $text];
        }
        return $results;
    }

    private function place(Job $job): int
    {
        $i = array_search($job, $this->jobs, true);
        if ($i === false) {
            throw new InvalidJobException("job $job->id is not in this batch");
        }
        return $i;
    }
}

<?php

require_once __DIR__ . '/../../autoload.php';

use Pepper\Bus\Batch;
use Pepper\Bus\Job;
use Pepper\Bus\PepperBus;

/** One method for each thing a handler may do. */
class Behaviours
{
    private static $calls = 0;
    private $used = false;

    public function quiet()
    {
    }

    public function untyped($request)
    {
        return get_class($request) . ' ' . count($request->getJobs()) . ' ' . $request->getQueuePath() . ' ' . $request->jobs[0]['content'];
    }

    public function request(Request $request)
    {
        return $request->outTraceId . ' ' . $request->jobs[0]['content'];
    }

    public function job(Job $job)
    {
        if ($this->used) {
            throw new LogicException('the object was used before');
        }
        $this->used = true;
        return "$job->id $job->queue/$job->topic $job->attempt " . bin2hex($job->content);
    }

    public static function fixed(Job $job)
    {
        return ['n' => ++self::$calls, 'data' => $job->data()];
    }

    public function refusesFalse()
    {
        return false;
    }

    public function byContent(Job $job)
    {
        switch ($job->content) {
            case 'throw':
                throw new DomainException("no \"$job->id\"", 42);
            case 'type':
                return strlen([]);
            case 'exit':
                exit(3);
            case 'die':
                die('bye');
            case 'memory':
                $all = [];
                while (true) {
                    $all[] = str_repeat('x', 100000);
                }
            case 'many':
                $all = [];
                while (true) {
                    $all[] = [1];
                }
            case 'fatal':
                eval('class Behaviours {}'); // a compile error is no exception
                break;
            case 'user-error':
                trigger_error('given up', E_USER_ERROR);
                break;
            case 'timeout':
                set_time_limit(1);
                while (true);
            case 'parse':
                require __DIR__ . '/broken.inc';
                break;
            case 'notice':
                echo $undefined;
                trigger_error('beware', E_USER_WARNING);
                break;
            case 'echo':
                echo 'noise ', str_repeat('n', 20000);
                break;
            case 'everywhere': // all ways to standard output but one
                echo "by echo\n";
                file_put_contents('php://stdout', "by php://stdout\n");
                file_put_contents('php://output', "by php://output\n");
                system('echo by system');
                proc_close(proc_open('echo by a child', [], $pipes));
                ob_start();
                echo "by a buffer\n";
                break;
            case 'term':
                posix_kill(getmypid(), SIGTERM);
                usleep(100000); // cut short when the signal comes
                break;
            case 'stdout-constant':
                fwrite(STDOUT, 'by the constant');
                break;
            case 'flush':
                echo 'noise';
                ob_flush();
                flush();
                echo 'more';
                break;
            case 'end-flush':
                echo 'noise';
                ob_end_flush();
                break;
            case 'clean-all':
                while (ob_get_level() > 0) {
                    ob_end_clean();
                }
                break;
            case 'clean-all-echo':
                while (ob_get_level() > 0) {
                    ob_end_clean();
                }
                echo 'noise';
                flush();
                break;
            case 'own-buffer':
                ob_start();
                echo 'noise';
                break;
            case 'headers':
                header('Location: /elsewhere');
                header('Code: 777');
                http_response_code(418);
                break;
            case 'finish':
                fastcgi_finish_request();
                return 'done';
            case 'late-exception':
                register_shutdown_function(function () {
                    throw new Exception('after the end');
                });
                break;
            case 'chatty':
                return str_repeat('ü', 2000000);
            case 'slow':
                usleep(400000);
                return $job->secondsLeft() === null ? 'no deadline' : sprintf('%.1f', $job->secondsLeft());
            case 'nul':
                throw new Exception("line one\nline \0two \xff");
        }
        return "did $job->content";
    }

    /** Several jobs in one call. */
    public function together(Batch $batch)
    {
        if ($this->used) {
            throw new LogicException('the object was used before');
        }
        $this->used = true;
        foreach ($batch as $job) {
            if ($job->content === 'fail') {
                $batch->fail($job, "no room for $job->id");
            } elseif ($job->content === 'fail-throwable') {
                $batch->fail($job, new DomainException('not this one'));
            } elseif ($job->content === 'done') {
                $batch->done($job, 'written');
            } else {
                $this->byContent($job);
            }
        }
        return count($batch) . " of $batch->queue/$batch->topic $batch->outTraceId";
    }
}

/** What happens after a handler has ended. */
class Endings
{
    public static $kept = [];
    private $atEnd;

    public function run(Job $job)
    {
        $how = str_replace('failing ', '', $job->content);
        $changes = static function () {
            header_remove();
            header('Code: 500');
            header('Error-Code: 7');
        };
        $throws = static function () {
            throw new LogicException('after the end');
        };
        $exits = static function () {
            exit(9);
        };
        switch ($how) {
            case 'shutdown-remove':
                register_shutdown_function('header_remove');
                break;
            case 'shutdown-code':
                register_shutdown_function($changes);
                break;
            case 'shutdown-status':
                register_shutdown_function(static function () {
                    http_response_code(503);
                    header('Status: 503 Away');
                });
                break;
            case 'shutdown-callback':
                header_register_callback($changes);
                break;
            case 'shutdown-exit':
                register_shutdown_function($exits);
                break;
            case 'shutdown-throw':
                register_shutdown_function($throws);
                break;
            case 'destructor-throw':
                $this->atEnd = $throws;
                break;
            case 'destructor-exit':
                $this->atEnd = $exits;
                break;
            case 'destructor-code':
                $this->atEnd = $changes;
                break;
            case 'global-destructor-throw':
            case 'global-destructor-code':
                self::$kept[] = $object = new self();
                $object->atEnd = $how === 'global-destructor-code' ? $changes : $throws;
                break;
            case 'error-handler':
                set_error_handler(static function ($no, $text) {
                    throw new ErrorException($text);
                });
                break;
        }
        if ($how !== $job->content) {
            throw new DomainException('as told');
        }
        return 'over';
    }

    public function silent(Job $job)
    {
        $this->run($job);
    }

    public function __destruct()
    {
        $this->atEnd === null || ($this->atEnd)();
    }
}

class Returned implements JsonSerializable
{
    #[\ReturnTypeWillChange]
    public function jsonSerialize()
    {
        throw new RuntimeException('no JSON');
    }

    public function run(Job $job)
    {
        switch ($job->content) {
            case 'throwing-json':
                return $this;
            case 'bad-utf8':
                return ["\xff"];
            case 'recursion':
                $all = [];
                $all['all'] = &$all;
                return $all;
            case 'resource':
                return fopen('php://memory', 'r');
            case 'huge':
                return [str_repeat("\x01", 15 << 20)]; // six times as long as JSON
            case 'long-exception':
                throw new RuntimeException(str_repeat('x', 12 << 20));
        }
        return 'small';
    }
}

/** Handlers that fork. */
class Forks
{
    public function run(Job $job)
    {
        $pid = pcntl_fork();
        if ($pid === 0) {
            switch ($job->content) {
                case 'exit':
                    exit(0);
                case 'exit-1':
                    exit(1);
                case 'throw':
                    throw new LogicException('in the child');
                case 'fatal':
                    eval('class Forks {}');
            }
            return 'the child came back';
        }
        pcntl_waitpid($pid, $status);
        return 'parent';
    }
}

abstract class AbstractHandler
{
    abstract public function run();
}

class NeedsArguments
{
    private function hidden()
    {
    }

    public function __construct($needed = null)
    {
    }

    public static function make($a, $b)
    {
    }
}

class NeedsMore
{
    public function __construct($needed)
    {
    }

    public function run()
    {
    }
}

class Callables
{
    public function one($request)
    {
        return 'callable-array ' . $request->jobs[0]['content'];
    }

    public static function two(Job $job)
    {
        return "static-text $job->content";
    }

    public function listOf(array $jobs)
    {
    }

    public function twoOf(Job $job, $more)
    {
    }
}

function aFunction(Job $job)
{
    return "function $job->content";
}

if (PHP_VERSION_ID >= 80000) {
    eval('class Unions {
        public function union(Pepper\\Bus\\Job|array $job) { return "union $job->content"; }
        public function mixed(mixed $request) { return "mixed " . $request->jobs[0]["content"]; }
    }');
} else {
    class Unions
    {
        public function union(Job $job)
        {
            return "union $job->content";
        }

        public function mixed($request)
        {
            return 'mixed ' . $request->jobs[0]['content'];
        }
    }
}

spl_autoload_register(static function (string $class): void {
    if ($class === 'BrokenClass') {
        require __DIR__ . '/broken.inc';
    }
});

PepperBus::getInstance()
    ->register('q', 'quiet', 'Behaviours', 'quiet')
    ->register('q', 'untyped', 'Behaviours', 'untyped')
    ->register('q', 'request', 'Behaviours', 'request')
    ->register('q', 'job', 'Behaviours', 'job')
    ->register('q', 'static', 'Behaviours', 'fixed')
    ->register('q', 'false', 'Behaviours', 'refusesFalse')
    ->register('q', 'do', 'Behaviours', 'byContent')
    ->register('q', 'together', 'Behaviours', 'together')
    ->register('q', 'closure', function (Job $job) {
        return "closure $job->content";
    })
    ->register('q', 'no-class', 'NoSuchClass', 'run')
    ->register('q', 'no-method', 'Behaviours', 'noSuchMethod')
    ->register('q', 'ending', 'Endings', 'run')
    ->register('q', 'silent', 'Endings', 'silent')
    ->register('q', 'returns', 'Returned', 'run')
    ->register('q', 'forks', 'Forks', 'run')
    ->register('q', 'private', 'NeedsArguments', 'hidden')
    ->register('q', 'abstract', 'AbstractHandler', 'run')
    ->register('q', 'arguments', 'NeedsMore', 'run')
    ->register('q', 'wants-array', 'Callables', 'listOf')
    ->register('q', 'wants-two', 'Callables', 'twoOf')
    ->register('q', 'broken-class', 'BrokenClass', 'run')
    ->register('q', 'callable-array', [new Callables(), 'one'])
    ->register('q', 'static-text', 'Callables::two')
    ->register('q', 'function', 'aFunction')
    ->register('q', 'union', 'Unions', 'union')
    ->register('q', 'mixed', 'Unions', 'mixed')
    ->do();

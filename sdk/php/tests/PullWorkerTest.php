<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\Tests\Support\FakeBroker;
use Pepper\Bus\Tests\Support\Process;
use Pepper\Bus\Tests\Support\TempDir;
use PHPUnit\Framework\TestCase;

/** PepperBusWorker on the command line. */
final class PullWorkerTest extends TestCase
{
    /** @var TempDir */
    private $dir;

    protected function setUp(): void
    {
        $this->dir = new TempDir();
    }

    /** @param string[] $options */
    private function start(array $options, array $env = []): Process
    {
        return new Process(
            array_merge([PHP_BINARY, '-d', 'error_reporting=8191', __DIR__ . '/workers/pull.php'], $options),
            $this->dir->path . '/out',
            $env
        );
    }

    public function testPullsUntilItIsStopped(): void
    {
        $broker = new FakeBroker([
            'ok',
            'text:{"jobs":[{"id":"1","content":"abc","RetryTimes":1}]}',
            'text:{"jobs":[{"id":"2","content":"throw"}]}',
            'drop',
            'text:{"jobs":[{"id":"3","content":"/wD/","encoding":"base64"}]}',
            'error:ERR storage main: timeout',
            'text:{"jobs":[{"id":"4","content":"last"}]}',
        ]);
        $worker = $this->start(
            ['-q', 'msg', '-t', 'reply', '-h', $broker->host, '-p', (string) $broker->port, '-H', 'Puller::run'],
            ['PEPPERBUS_PASSWORD' => 'pw:1']
        );
        $worker->waitUntil(static function () use ($worker): bool {
            return strpos($worker->output(), bin2hex('last')) !== false;
        }, 'the last job');
        if (function_exists('pcntl_async_signals')) {
            $this->assertSame(0, $worker->stop());
        }
        $output = $worker->output();
        $this->assertStringContainsString("msg/reply 616263\n", $output);
        $this->assertStringContainsString('job 2 failed: Exception: no luck in ', $output);
        $this->assertStringContainsString("kept 2\n", $output);
        $this->assertStringContainsString("msg/reply ff00ff\n", $output);
        $this->assertStringNotContainsString('pw:1', $output);
        $this->assertSame(['AUTH', 'msg/reply:pw:1'], $broker->commands('AUTH')[0]);
        $this->assertSame([], $broker->commands('LPUSH'), 'a failed job is not added anew for all topics');
    }

    public function testWrongPassword(): void
    {
        $broker = new FakeBroker(['auth-error:ERR invalid password']);
        $worker = $this->start(['-q', 'msg/reply', '-h', $broker->host, '-p', (string) $broker->port, '-a', 'secret', '-H', 'Puller::run']);
        $this->assertSame(77, $worker->wait());
        $this->assertStringContainsString('invalid password', $worker->output());
        $this->assertStringNotContainsString('secret', $worker->output());
    }

    public function testWrongOptions(): void
    {
        foreach ([[], ['-q', 'msg'], ['-q', 'msg', '-H', 'Puller::run', '-p', '99999']] as $options) {
            $this->assertSame(64, $this->start($options)->wait());
        }
    }
}

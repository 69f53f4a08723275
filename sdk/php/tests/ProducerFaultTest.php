<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\AuthException;
use Pepper\Bus\BusException;
use Pepper\Bus\Config;
use Pepper\Bus\ConnectionException;
use Pepper\Bus\Health;
use Pepper\Bus\InvalidJobException;
use Pepper\Bus\JobTooLargeException;
use Pepper\Bus\QueueFullException;
use Pepper\Bus\QueueNotFoundException;
use Pepper\Bus\StorageException;
use Pepper\Bus\Tests\Support\ClosedPort;
use Pepper\Bus\Tests\Support\FakeBroker;
use Pepper\Bus\UnknownOutcomeException;

/** The producer against brokers that break off, hang, refuse and talk nonsense. */
final class ProducerFaultTest extends ProducerTestCase
{
    private const FIRST_ID = '9223372036854775809'; // 0x8000000000000001

    /** @dataProvider drivers */
    public function testAddsOverTcpAndUnixSocket(string $driver): void
    {
        foreach ([false, true] as $unix) {
            $broker = new FakeBroker([], $unix);
            $producer = $this->producer($driver, [$broker->server()]);
            $binary = "\0\r\n$5\xff" . random_bytes(5000);
            $this->assertSame(self::FIRST_ID, $producer->addJob('msg', $binary));
            $producer->addJob('msg', ['a' => 'ü/']);
            $producer->addJob('other', 'x', ['delay' => 4.2, 'ttl' => 60]);
            $this->assertSame([['AUTH', 'msg:pä:ss'], ['AUTH', 'other:pä:ss']], $broker->commands('AUTH'));
            [$first, $second, $third] = $broker->commands('ADDJOB');
            $this->assertSame(['ADDJOB', 'msg', $binary, '30000', 'ID'], array_slice($first, 0, 5));
            $this->assertMatchesRegularExpression('/^[A-Za-z0-9_.:-]{16,64}$/', $first[5]);
            $this->assertSame('{"a":"ü/"}', $second[2]);
            $this->assertNotSame($first[5], $second[5]);
            $this->assertSame(['DELAY', '5', 'TTL', '60', 'ID'], array_slice($third, 4, 5));
            $this->assertSame(1, $broker->connections());
        }
    }

    /** @dataProvider drivers */
    public function testUnknownOutcomeIsTriedAgainWithTheSameToken(string $driver): void
    {
        foreach (['drop', 'hang', 'garbage', 'short', 'text:whatever'] as $fault) {
            $broker = new FakeBroker([$fault]);
            $id = $this->producer($driver, [$broker->server($fault === 'hang' ? 5.0 : 30.0)])->addJob('msg', 'x');
            $this->assertSame(self::FIRST_ID, $id, $fault);
            $sent = $broker->commands('ADDJOB');
            $this->assertCount(2, $sent, $fault);
            $this->assertSame($sent[0], $sent[1], $fault);
            $this->assertSame(2, $broker->connections(), $fault);
        }
    }

    /** @dataProvider drivers */
    public function testGoesOnToTheNextServerAndRemembersIt(string $driver): void
    {
        $bad = new FakeBroker(['drop']);
        $good = new FakeBroker();
        $closed = new ClosedPort();
        $servers = [['host' => '127.0.0.1', 'port' => $closed->port], $bad->server(), $good->server()];
        $this->producer($driver, $servers)->addJob('msg', 'x');
        $this->assertSame($bad->commands('ADDJOB'), $good->commands('ADDJOB'), 'same token');
        $this->producer($driver, $servers)->addJob('msg', 'y');
        $this->assertCount(1, $bad->commands('ADDJOB'));
        $this->assertCount(2, $good->commands('ADDJOB'));
    }

    /**
     * @case R18
     * @dataProvider drivers
     */
    public function testATokenOfOurOwnIsKeptForAShortTime(string $driver): void
    {
        $broker = new FakeBroker(['ok', 'ok', 'ok', 'error:ERR syntax error']);
        $producer = $this->producer($driver, [$broker->server()]);
        $producer->addJob('msg', 'x');
        $producer->addJob('msg', 'x', ['id' => 'mine']);
        $producer->addJob('msg', 'x', ['id' => 'mine', 'id_ttl' => 86400]);
        $producer->addJob('msg', 'for a broker of 0.1');
        $producer->addJob('msg', 'which is remembered');
        $tails = array_map(static function (array $c): array {
            return array_slice($c, 6);
        }, $broker->commands('ADDJOB'));
        $this->assertSame([['IDTTL', '120'], [], ['IDTTL', '86400'], ['IDTTL', '120'], [], []], $tails);
    }

    /** @dataProvider drivers */
    public function testUnknownOutcomeEverywhere(string $driver): void
    {
        $broker = new FakeBroker(['drop', 'drop', 'drop']);
        try {
            $this->producer($driver, [$broker->server()])->addJob('msg', 'x');
            $this->fail('no exception');
        } catch (UnknownOutcomeException $e) {
            $sent = $broker->commands('ADDJOB');
            $this->assertCount(2, $sent);
            $this->assertSame($sent[0][5], $e->getToken());
        }
    }

    /** @dataProvider drivers */
    public function testRefusalAfterAnUnknownOutcomeIsStillUnknown(string $driver): void
    {
        $first = new FakeBroker(['drop']);
        $second = new FakeBroker(['error:ERR queue msg is full']);
        $this->expectException(UnknownOutcomeException::class);
        $this->expectExceptionMessage('full');
        $this->producer($driver, [$first->server(), $second->server()])->addJob('msg', 'x');
    }

    /**
     * A broker that restarts refuses connections, or says that its storage is not there yet.
     *
     * @case L2
     * @dataProvider drivers
     */
    public function testARestartOfTheBrokerIsNotSeen(string $driver): void
    {
        foreach (['error:ERR storage main: not connected', 'error:LOADING Redis is loading', 'drop'] as $fault) {
            $broker = new FakeBroker([$fault, $fault, $fault]);
            $this->assertSame(self::FIRST_ID, $this->producer($driver, [$broker->server()], 30)->addJob('msg', 'x'), $fault);
            $sent = $broker->commands('ADDJOB');
            $this->assertCount(4, $sent, $fault);
            $this->assertCount(1, array_unique(array_column($sent, 5)), 'one token');
        }
    }

    /**
     * @case L2
     * @dataProvider drivers
     */
    public function testWhileNothingAnswersOnlyOneCallWaits(string $driver): void
    {
        $closed = new ClosedPort();
        $servers = [['host' => '127.0.0.1', 'port' => $closed->port, 'timeout' => 60]];
        $this->assertRefused($this->producer($driver, $servers, 0.3));
        $this->assertFalse(Health::isWorthAnotherTry((new Config(['servers' => $servers]))->servers()));
        $this->assertRefused($this->producer($driver, $servers, 3600)); // it would wait an hour
    }

    private function assertRefused(\Pepper\Bus\Producer $producer): void
    {
        foreach (['addJob' => 'x', 'addJobs' => ['x']] as $method => $data) {
            try {
                $producer->$method('msg', $data);
                $this->fail('no exception');
            } catch (ConnectionException $e) {
                $this->addToAssertionCount(1);
            }
        }
    }

    /** @dataProvider drivers */
    public function testNoServer(string $driver): void
    {
        $closed = new ClosedPort();
        $start = microtime(true);
        try {
            $this->producer($driver, [
                ['host' => '127.0.0.1', 'port' => $closed->port, 'timeout' => 60],
                ['host' => 'unix:/nonexistent/s', 'timeout' => 60],
            ])->addJob('msg', 'x');
            $this->fail('no exception');
        } catch (ConnectionException $e) {
            $this->assertLessThan(30, microtime(true) - $start, 'who refuses is not waited for');
        }
    }

    /** @dataProvider drivers */
    public function testKeptConnectionThatDiedIsReplaced(string $driver): void
    {
        $broker = new FakeBroker(['stale', 'ok', 'stale']);
        $producer = $this->producer($driver, [$broker->server()]);
        foreach (['a', 'b', 'c'] as $job) {
            $producer->addJob('msg', $job);
            usleep(50000);
        }
        $this->assertSame(['1'], $producer->addJobs('msg', ['only']));
        $this->assertCount(3, $broker->commands('ADDJOB'));
        $this->assertSame(['msg:pä:ss', 'msg:pä:ss', 'msg:pä:ss'], array_column($broker->commands('AUTH'), 1));
    }

    public static function refusals(): array
    {
        $cases = [];
        foreach (['redis', 'predis'] as $driver) {
            foreach ([
                ['NOAUTH Authentication required.', AuthException::class],
                ['ERR queue or Topic not exist msg', QueueNotFoundException::class],
                ['ERR queue msg is full (max_length 10)', QueueFullException::class],
                ['ERR job too large (max_job_size 8mb)', JobTooLargeException::class],
                ['ERR storage main: not connected', StorageException::class],
                ['LOADING Redis is loading the dataset in memory', StorageException::class],
                ['ERR something new', BusException::class],
            ] as [$text, $class]) {
                $cases["$driver: $text"] = [$driver, $text, $class];
            }
        }
        return $cases;
    }

    /** @dataProvider refusals */
    public function testRefusals(string $driver, string $text, string $class): void
    {
        $broker = new FakeBroker(["error:$text", "error:$text"]);
        try {
            $this->producer($driver, [$broker->server()])->addJob('msg', 'x');
            $this->fail('no exception');
        } catch (BusException $e) {
            $this->assertSame($class, get_class($e));
            $this->assertStringContainsString($text, $e->getMessage());
        }
        $again = $class === StorageException::class ? 2 : 1;
        $this->assertCount($again, $broker->commands('ADDJOB'));

        $json = json_encode(['jobs' => null, 'inTraceId' => '1-2-3', 'error' => $text]);
        $broker = new FakeBroker(["text:$json"]);
        try {
            $this->producer($driver, [$broker->server()])->addJobs('msg', ['x', 'y']);
            $this->fail('no exception');
        } catch (BusException $e) {
            $this->assertSame($class, get_class($e));
        }
    }

    /** @dataProvider drivers */
    public function testStorageFailureGoesToTheNextServer(string $driver): void
    {
        $first = new FakeBroker(['error:ERR storage main: timeout']);
        $second = new FakeBroker();
        $this->assertSame(self::FIRST_ID, $this->producer($driver, [$first->server(), $second->server()])->addJob('msg', 'x'));
        $this->assertSame($first->commands('ADDJOB'), $second->commands('ADDJOB'));
    }

    /** @dataProvider drivers */
    public function testWrongPasswordShowsNowhere(string $driver): void
    {
        ini_set('zend.exception_ignore_args', '0');
        $broker = new FakeBroker(['auth-error:ERR invalid password']);
        try {
            $this->producer($driver, [$broker->server()])->addJob('msg', 'x');
            $this->fail('no exception');
        } catch (AuthException $e) {
            $shown = print_r($e->getTrace(), true) . $e;
            $this->assertStringContainsString('queue "msg": ERR invalid password, or there is no such queue', $e->getMessage());
            $this->assertStringNotContainsString('pä:ss', $shown);
            $this->assertNull($e->getPrevious());
        }
        $this->assertSame([], $broker->commands('ADDJOB'));
    }

    /** @dataProvider drivers */
    public function testConnectionFailuresShowNoPassword(string $driver): void
    {
        ini_set('zend.exception_ignore_args', '0');
        $broker = new FakeBroker(['drop', 'drop']);
        try {
            $this->producer($driver, [$broker->server()])->addJob('msg', 'secret content');
            $this->fail('no exception');
        } catch (UnknownOutcomeException $e) {
            $this->assertStringNotContainsString('pä:ss', print_r($e, true) . $e);
            $this->assertStringNotContainsString('secret content', print_r($e->getTrace(), true));
        }
    }

    /** @dataProvider drivers */
    public function testBulkIsSentInPartsAndNeverRepeated(string $driver): void
    {
        $jobs = array_fill(0, 1100, 'x');
        $broker = new FakeBroker();
        $ids = $this->producer($driver, [$broker->server()])->addJobs('msg', $jobs);
        $this->assertCount(1100, $ids);
        $this->assertSame([502, 502, 102], array_map('count', $broker->commands('LPUSH')));

        $broker = new FakeBroker(['ok', 'drop']);
        $other = new FakeBroker();
        try {
            $this->producer($driver, [$broker->server(), $other->server()])->addJobs('msg', $jobs);
            $this->fail('no exception');
        } catch (UnknownOutcomeException $e) {
            $this->assertCount(500, $e->getAcceptedIds());
            $this->assertNull($e->getToken());
        }
        $this->assertCount(2, $broker->commands('LPUSH'));
        $this->assertSame([], $other->commands());
    }

    /** @dataProvider drivers */
    public function testBulkReplyMustNameEveryJob(string $driver): void
    {
        foreach (['{"jobs":["1"],"inTraceId":"1-2-3","error":""}', 'nonsense', '{}', '{"jobs":null,"error":""}'] as $text) {
            $broker = new FakeBroker(["text:$text"]);
            try {
                $this->producer($driver, [$broker->server()])->addJobs('msg', ['x', 'y']);
                $this->fail("no exception for $text");
            } catch (UnknownOutcomeException $e) {
                $this->assertCount(1, $broker->commands('LPUSH'));
            }
        }
        $this->assertSame([], $this->producer($driver, [['host' => 'unix:/nonexistent']])->addJobs('msg', []));
    }

    /** @dataProvider drivers */
    public function testForkedChildUsesItsOwnConnection(string $driver): void
    {
        if (!function_exists('pcntl_fork')) {
            $this->markTestSkipped('ext-pcntl is not installed');
        }
        $broker = new FakeBroker();
        $producer = $this->producer($driver, [$broker->server()]);
        $producer->addJob('msg', 'parent');
        $pid = pcntl_fork();
        if ($pid === 0) {
            $producer->addJob('msg', 'child');
            posix_kill(getmypid(), SIGKILL); // without PHPUnit's own end
        }
        pcntl_waitpid($pid, $status);
        $producer->addJob('msg', 'parent again');
        $this->assertSame(2, $broker->connections());
        $this->assertCount(3, $broker->commands('ADDJOB'));
    }

    public function testWrongOptions(): void
    {
        $producer = $this->producer('redis', [['host' => 'unix:/nonexistent']]);
        foreach ([['delya' => 5], ['delay' => -1], ['delay' => 'soon'], ['id' => 'a b'], ['id' => ''], ['id' => str_repeat('x', 65)]] as $options) {
            try {
                $producer->addJob('msg', 'x', $options);
                $this->fail('accepted ' . json_encode($options));
            } catch (InvalidJobException $e) {
                $this->assertStringContainsString('option', $e->getMessage());
            }
        }
        $this->expectException(InvalidJobException::class);
        $producer->addJob('msg', ["\xff"]);
    }
}

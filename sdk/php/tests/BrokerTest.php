<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\AuthException;
use Pepper\Bus\BusException;
use Pepper\Bus\Config;
use Pepper\Bus\JobTooLargeException;
use Pepper\Bus\Producer;
use Pepper\Bus\QueueFullException;
use Pepper\Bus\Tests\Support\Broker;
use Pepper\Bus\Tests\Support\Fpm;
use Pepper\Bus\Tests\Support\Process;
use Pepper\Bus\Tests\Support\TempDir;

/** Producer, a real broker with a real Redis, a real php-fpm, worker: end to end. */
final class BrokerTest extends ProducerTestCase
{
    /** @var string why there is no broker */
    private static $missing = '';
    /** @var TempDir|null */
    private static $dir;
    /** @var Fpm|null */
    private static $fpm;
    /** @var Broker|null */
    private static $broker;

    public static function setUpBeforeClass(): void
    {
        $binary = Broker::find();
        $fpm = Fpm::find();
        if ($binary === null || $fpm === null) {
            self::$missing = $fpm === null ? 'php-fpm is not installed' : 'pepperbusd is not built (or PEPPERBUSD does not name it)';
            return;
        }
        self::$dir = new TempDir();
        putenv('SDK_TEST_DIR=' . self::$dir->path);
        self::$fpm = new Fpm($fpm, 4);
        $entry = __DIR__ . '/workers/broker.php';
        $signed = __DIR__ . '/workers/broker-signed.php';
        $php = PHP_BINARY . " $entry";
        $env = 'SDK_TEST_DIR=' . self::$dir->path;
        $exec = !Broker::has($binary, 'exec') ? '' : "
            [queue exec]
            system = test
            password = pw:1
            [topic exec/resident]
            storage = main
            run_type = exec
            resident = yes
            entry = $php
            env = $env
            workers = 2
            chunk = 8
            chunk_wait = 100ms
            attempts = 4
            backoff = 100ms..200ms
            [topic exec/once]
            storage = main
            run_type = exec
            ping = yes
            entry = $php
            env = $env
            workers = 2
            chunk = 8
            chunk_wait = 100ms
            attempts = 4
            backoff = 100ms..200ms
            ";
        self::$broker = new Broker($binary, "
            [pool local]
            run_type = cgi
            address = unix:" . self::$fpm->socket . "
            max_connections = 3

            [queue one]
            system = test
            password = pw:1
            [topic one/note]
            storage = main
            pool = local
            entry = $entry
            [topic one/also]
            storage = main
            pool = local
            entry = $entry

            [queue moody]
            system = test
            password = pw:1
            [topic moody/chunk]
            storage = main
            pool = local
            entry = $entry
            workers = 1
            chunk = 8
            attempts = 8
            backoff = 100ms..200ms

            [queue together]
            system = test
            password = pw:1
            [topic together/batch]
            storage = main
            pool = local
            entry = $entry
            workers = 1
            chunk = 8
            chunk_wait = 200ms
            attempts = 3
            backoff = 100ms..200ms

            [queue signed]
            system = test
            password = pw:1
            [topic signed/new]
            storage = main
            pool = local
            entry = $signed
            signing_key = the new key of these tests
            [topic signed/old]
            storage = main
            pool = local
            entry = $signed
            signing_key = the old key of these tests
            [topic signed/wrong]
            storage = main
            pool = local
            entry = $signed
            signing_key = another key than the worker has
            [topic signed/none]
            storage = main
            pool = local
            entry = $signed

            $exec
            [queue tight]
            system = test
            password = other
            max_length = 3
            [topic tight/note]
            storage = main
            pool = local
            entry = $entry
            enabled = no

            [queue pull]
            system = test
            password = pw:1
            [topic pull/cli]
            storage = main
            pool = local
            entry = $entry
            password = topic-pw
            enabled = no
            start_from = beginning
            ");
    }

    public static function tearDownAfterClass(): void
    {
        self::$broker = self::$fpm = self::$dir = null;
        putenv('SDK_TEST_DIR');
    }

    protected function setUp(): void
    {
        parent::setUp();
        if (self::$missing !== '') {
            $this->markTestSkipped(self::$missing);
        }
        array_map('unlink', glob(self::$dir->path . '/*') ?: []);
    }

    protected function producer(string $driver, array $servers = [], float $retryFor = 0): Producer
    {
        $this->needDriver($driver);
        return new Producer(new Config([
            'password' => 'pw:1',
            'passwords' => ['tight' => 'other', 'wrong' => 'x'],
            'servers' => array_map(static function (array $server): array {
                return $server + ['timeout' => 60]; // the broker may be kept waiting
            }, $servers ?: [['host' => '127.0.0.1', 'port' => self::$broker->port]]),
            'driver' => $driver,
        ]));
    }

    /**
     * Waits for what a topic's workers noted.
     *
     * @return array<string,string[]> by id: attempt, md5, length
     */
    private function noted(string $topic, int $count): array
    {
        $file = self::$dir->path . "/$topic";
        $noted = [];
        for ($end = microtime(true) + 90; microtime(true) < $end; usleep(20000)) {
            $noted = [];
            // Whole lines: one that is being written may be there in part.
            preg_match_all('/^.+(?=\n)/m', (string) @file_get_contents($file), $lines);
            foreach ($lines[0] as $line) {
                [$id, $attempt, $md5, $length] = explode(' ', $line);
                $noted[$id] = [$attempt, $md5, $length];
            }
            if (count($noted) >= $count) {
                return $noted;
            }
        }
        $this->fail("only " . count($noted) . " of $count jobs of $topic were handled; the broker says:\n" . self::$broker->log());
    }

    /** @dataProvider drivers */
    public function testEveryTopicGetsEveryByte(string $driver): void
    {
        foreach (['tcp' => [], 'unix' => [['host' => 'unix:' . self::$broker->socket]]] as $servers) {
            $producer = $this->producer($driver, $servers);
            $all = '';
            for ($i = 0; $i < 256; $i++) {
                $all .= chr($i);
            }
            $jobs = ['plain', '', $all, "\xff", 'ü % + & = "quoted" \\ \/', random_bytes(60000), str_repeat('x', 60000), "line\r\nline\n", "\0"];
            $expected = [];
            foreach ($jobs as $job) {
                $expected[$producer->addJob('one', $job)] = ['1', md5($job), (string) strlen($job)];
            }
            $expected[$producer->addJob('one', ['a' => 'ü/'])] = ['1', md5('{"a":"ü/"}'), '11'];
            ksort($expected);
            foreach (['one.note', 'one.also'] as $topic) {
                $noted = array_intersect_key($this->noted($topic, count($expected)), $expected);
                ksort($noted);
                $this->assertSame($expected, $noted);
            }
            array_map('unlink', glob(self::$dir->path . '/*') ?: []);
        }
    }

    /** @dataProvider drivers */
    public function testBulk(string $driver): void
    {
        $jobs = array_map('strval', range(1, 1200));
        $ids = $this->producer($driver)->addJobs('one', $jobs);
        $this->assertCount(1200, array_unique($ids));
        $noted = $this->noted('one.note', 1200);
        foreach ($ids as $i => $id) {
            $this->assertSame(md5($jobs[$i]), $noted[$id][1]);
        }
    }

    /** @dataProvider drivers */
    public function testTheSameTokenIsStoredOnce(string $driver): void
    {
        $token = 'order-' . bin2hex(random_bytes(8));
        $id = $this->producer($driver)->addJob('one', 'once', ['id' => $token]);
        $this->assertSame($id, $this->producer($driver)->addJob('one', 'once', ['id' => $token]));
        $last = $this->producer($driver)->addJob('one', 'last');
        $this->assertNotSame($id, $last);
        $this->noted('one.note', 2);
        usleep(300000);
        $this->assertCount(2, file(self::$dir->path . '/one.note'));
    }

    /** @dataProvider drivers */
    public function testDelay(string $driver): void
    {
        $producer = $this->producer($driver);
        $start = microtime(true);
        $late = $producer->addJob('one', 'late', ['delay' => 4]);
        $now = $producer->addJob('one', 'now');
        $this->assertArrayHasKey($now, $this->noted('one.note', 1));
        $this->assertArrayHasKey($late, $this->noted('one.note', 2));
        $this->assertGreaterThan(3.9, microtime(true) - $start);
    }

    /** @dataProvider drivers */
    public function testJobsOfAChunkFailAlone(string $driver): void
    {
        $contents = ['a', 'throw', 'b', 'exit', 'c', 'throw', 'd', 'e', 'f', 'exit', 'g'];
        $ids = $this->producer($driver)->addJobs('moody', $contents);
        $noted = $this->noted('moody.chunk', count($contents));
        foreach ($ids as $i => $id) {
            if (in_array($contents[$i], ['throw', 'exit'], true)) {
                $this->assertGreaterThan(1, (int) $noted[$id][0]);
            }
            $this->assertSame(md5($contents[$i]), $noted[$id][1]);
        }
        $this->assertCount(count($contents), file(self::$dir->path . '/moody.chunk'), 'no job was done twice');
    }

    /** @dataProvider drivers */
    public function testABatchHandlersJobsFailAlone(string $driver): void
    {
        $contents = ['a', 'fail', 'b', 'fail', 'c'];
        $ids = $this->producer($driver)->addJobs('together', $contents);
        $noted = $this->noted('together.batch', count($contents));
        foreach ($ids as $i => $id) {
            $this->assertSame($contents[$i] === 'fail' ? '2' : '1', $noted[$id][0]);
        }
        $this->assertCount(count($contents), file(self::$dir->path . '/together.batch'), 'no job was done twice');
    }

    /** @dataProvider drivers */
    public function testTheSameFileStartedByTheBroker(string $driver): void
    {
        if (!Broker::has((string) Broker::find(), 'exec')) {
            $this->markTestSkipped('there is no plugin for run type exec');
        }
        $contents = ['a', 'throw', 'exit', "\xff\0binary", 'b', 'ü & = %41', str_repeat('x', 60000), 'c', 'exit', 'd'];
        $ids = $this->producer($driver)->addJobs('exec', $contents);
        foreach (['exec.resident', 'exec.once'] as $topic) {
            $noted = $this->noted($topic, count($contents));
            foreach ($ids as $i => $id) {
                $again = in_array($contents[$i], ['throw', 'exit'], true);
                $this->assertSame([$again ? '2' : '1', md5($contents[$i])], array_slice($noted[$id], 0, 2), "$topic: $contents[$i]");
            }
            $this->assertCount(count($contents), file(self::$dir->path . "/$topic"), "$topic: no job was done twice");
        }
    }

    /** @dataProvider drivers */
    public function testSignedTopics(string $driver): void
    {
        $producer = $this->producer($driver);
        foreach (["ü & = %41", random_bytes(60000), ''] as $i => $content) {
            $id = $producer->addJob('signed', $content);
            foreach (['signed.new', 'signed.old'] as $topic) {
                $this->assertSame(['1', md5($content), (string) strlen($content)], $this->noted($topic, $i + 1)[$id]);
            }
        }
        self::$broker->waitForLog('~signed/wrong: .*403.* the topic\'s signing_key is not one of the 2 keys~');
        self::$broker->waitForLog('~signed/none: .*403.* has no signature~');
        $this->assertStringNotContainsString('of these tests', self::$broker->log());
        foreach (['wrong', 'none'] as $topic) {
            $this->assertFileDoesNotExist(self::$dir->path . "/signed.$topic");
        }
    }

    /** @dataProvider drivers */
    public function testRefusals(string $driver): void
    {
        $producer = $this->producer($driver);
        $this->assertThrows(JobTooLargeException::class, function () use ($producer): void {
            $producer->addJob('one', str_repeat('x', 100000));
        });
        $this->assertThrows(AuthException::class, function () use ($producer): void {
            $producer->addJob('wrong', 'x');
        });
        $this->assertMatchesRegularExpression('/^\d+$/', $producer->addJob('one', 'still usable'));
        $this->assertThrows(QueueFullException::class, function () use ($producer): void {
            for ($i = 0; $i < 50; $i++) {
                $producer->addJob('tight', 'x');
            }
        });
        $this->assertThrows(QueueFullException::class, function () use ($producer): void {
            $producer->addJobs('tight', ['x', 'y', 'z', 'z']);
        });
    }

    /** @dataProvider drivers */
    public function testARestartInTheMiddle(string $driver): void
    {
        $producer = $this->producer($driver);
        $ids = [$producer->addJob('one', 'before')];
        self::$broker->stop(9);
        $this->assertThrows(BusException::class, function () use ($producer): void {
            $producer->addJob('one', 'meanwhile');
        });
        self::$broker->start();
        $ids[] = $producer->addJob('one', 'after');
        $missing = $ids;
        for ($end = microtime(true) + 90; $missing && microtime(true) < $end; usleep(20000)) {
            $missing = array_diff($ids, array_map('strval', array_keys($this->noted('one.note', 1))));
        }
        $this->assertSame([], $missing);
    }

    public function testPullWorker(): void
    {
        $id = $this->producer('redis')->addJob('pull', "\xffpulled");
        $worker = new Process(
            [PHP_BINARY, __DIR__ . '/workers/pull.php', '-q', 'pull', '-t', 'cli', '-p', (string) self::$broker->port, '-H', 'Puller::run'],
            self::$dir->path . '/pull.out',
            ['PEPPERBUS_PASSWORD' => 'topic-pw']
        );
        $worker->waitUntil(static function () use ($worker): bool {
            return strpos($worker->output(), 'pull/cli ' . bin2hex("\xffpulled")) !== false;
        }, "job $id");
        $this->addToAssertionCount(1);
        $worker->stop();
    }

    private function assertThrows(string $class, callable $do): void
    {
        try {
            $do();
        } catch (BusException $e) {
            $this->assertInstanceOf($class, $e, $e->getMessage());
            return;
        }
        $this->fail("no $class");
    }
}

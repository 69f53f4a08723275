<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\Tests\Support\FakeBroker;
use Pepper\Bus\Tests\Support\FastCgiReply;
use Pepper\Bus\Tests\Support\Fpm;
use Pepper\Bus\Tests\Support\Process;
use Pepper\Bus\Tests\Support\TempDir;
use PHPUnit\Framework\TestCase;

final class ExamplesTest extends TestCase
{
    /** @var TempDir */
    private $dir;

    protected function setUp(): void
    {
        $this->dir = new TempDir();
    }

    public function testProducer(): void
    {
        $broker = new FakeBroker(['ok', 'ok', 'error:ERR the queue is full']);
        $env = ['PEPPERBUS_HOST' => $broker->host, 'PEPPERBUS_PORT' => (string) $broker->port, 'PEPPERBUS_PASSWORD' => 'pw'];
        $script = __DIR__ . '/../examples/produce.php';
        $php = [PHP_BINARY, '-d', 'error_reporting=8191', $script];
        $producer = new Process(array_merge($php, ['hello', '2']), $this->dir->path . '/out', $env);
        $this->assertSame(0, $producer->wait());
        $this->assertSame("added job 9223372036854775809 to hello: hello 1\nadded job 9223372036854775810 to hello: hello 2\n", $producer->output());
        $this->assertSame(['AUTH', 'hello:pw'], $broker->commands('AUTH')[0]);
        $refused = new Process(array_merge($php, ['hello', '1', 'text']), $this->dir->path . '/out2', $env);
        $this->assertSame(1, $refused->wait());
        $this->assertMatchesRegularExpression('/^not added: .*full$/', trim($refused->output()));
    }

    public function testWorkers(): void
    {
        $binary = Fpm::find();
        if ($binary === null) {
            $this->markTestSkipped('php-fpm is not installed');
        }
        $fpm = new Fpm($binary);
        $log = $this->dir->path . '/log';
        $flag = $this->dir->path . '/flag';
        $ask = static function (string $file, string $topic, array $contents) use ($fpm, $log, $flag): FastCgiReply {
            $jobs = [];
            foreach ($contents as $i => $content) {
                $jobs[] = ['id' => (string) ($i + 1), 'content' => base64_encode($content), 'encoding' => 'base64', 'RetryTimes' => 1];
            }
            return $fpm->request(
                (string) realpath(__DIR__ . "/../examples/$file"),
                ['IS_PEPPER_BUS_REQUEST' => 'true', 'type' => 'data', 'queue' => 'hello', 'topic' => $topic, 'outTraceId' => 't', 'jobs' => json_encode($jobs)],
                ['PEPPERBUS_EXAMPLE_LOG' => $log, 'PEPPERBUS_EXAMPLE_FLAG' => $flag]
            );
        };

        $reply = $ask('HelloWorker.php', 'print', ['hi']);
        $this->assertSame([200, 'printed'], [$reply->code(), $reply->body]);
        $this->assertStringContainsString('HelloWorker: job 1, attempt 1: hi', (string) file_get_contents($log));

        $this->assertSame(200, $ask('FragileWorker.php', 'fragile', ['x'])->code());
        touch($flag);
        $broken = $ask('FragileWorker.php', 'fragile', ['x']);
        $this->assertSame(500, $broken->code());
        $this->assertStringContainsString("remove $flag to mend it", $broken->body);
        unlink($flag);
        $this->assertSame(200, $ask('FragileWorker.php', 'fragile', ['x'])->code());

        $reply = $ask('ChunkWorker.php', 'chunk', ["\0\xff", '', 'x']);
        $this->assertSame(207, $reply->code());
        $this->assertSame([200, 500, 200], array_column(json_decode($reply->body, true), 'code'));
        $this->assertStringContainsString('2 bytes, crc32 ' . hash('crc32b', "\0\xff"), (string) file_get_contents($log));
    }
}

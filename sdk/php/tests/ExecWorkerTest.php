<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\Tests\Support\TempDir;
use PHPUnit\Framework\TestCase;

/** Worker files as the run type exec starts them: for one request, and to stay. */
final class ExecWorkerTest extends TestCase
{
    private const PHP = [PHP_BINARY, '-d', 'memory_limit=32M', '-d', 'display_errors=1', '-d', 'error_reporting=32767'];

    /** @var resource|null */
    private $process;
    /** @var resource[] */
    private $pipes = [];
    /** @var TempDir */
    private $dir;

    protected function setUp(): void
    {
        $this->dir = new TempDir();
    }

    protected function tearDown(): void
    {
        if ($this->process !== null) {
            proc_terminate($this->process, 9);
            $this->end();
        }
    }

    public function testPing(): void
    {
        $this->start();
        $answer = $this->ask(['type' => 'ping', 'queue' => 'q', 'topic' => 'do']);
        $this->assertSame(200, $answer['code']);
        $this->assertContains('q/do', $answer['topics']);
        $this->assertSame(0, $this->end()[0], 'it ends when its input does');
    }

    public function testRequestAfterRequest(): void
    {
        $this->start();
        for ($i = 1; $i <= 50; $i++) {
            $this->assertSame(
                ['code' => 200, 'outTraceId' => "trace-$i", 'msg' => "100$i q/job 1 ff0078"],
                $this->ask($this->data('job', ["100$i" => "\xff\0x"], "trace-$i"))
            );
        }
        $large = str_repeat('ü', 1000000);
        $answer = $this->ask($this->data('quiet', ['1' => $large, '2' => $large]));
        $this->assertSame([200, 200], array_column($answer['jobs'], 'code'));
    }

    public function testEachJobHasItsOutcome(): void
    {
        $this->start();
        $answer = $this->ask($this->data('do', ['1' => 'a', '2' => 'throw', '3' => 'type', '4' => 'b']));
        $this->assertSame(207, $answer['code']);
        $this->assertSame(['1', '2', '3', '4'], array_column($answer['jobs'], 'id'));
        $this->assertSame([200, 500, 500, 200], array_column($answer['jobs'], 'code'));
        $this->assertStringStartsWith('DomainException: no "2"', $answer['jobs'][1]['msg']);
        $answer = $this->ask($this->data('do', ['1' => 'throw']));
        $this->assertSame([500, 42], [$answer['code'], $answer['error_code']]);
        $this->assertSame(404, $this->ask($this->data('nobody', ['1' => 'x']))['code']);
        $answer = $this->ask($this->data('together', ['1' => 'a', '2' => 'fail', '3' => 'b']));
        $this->assertSame([200, 500, 200], array_column($answer['jobs'], 'code'));
        $this->assertSame(200, $this->ask($this->data('do', ['1' => 'still there']))['code']);
    }

    public function testLinesThatAreNoRequests(): void
    {
        $this->start();
        foreach (['no json', '[]', '"text"', '{"type":"data","queue":"q","topic":"do"}', '{"type":"other"}', '{"type":["data"],"jobs":{}}', "\xff{"] as $line) {
            $this->assertSame(400, $this->askLine($line)['code'], $line);
        }
        fwrite($this->pipes[0], "\n\r\n");
        $this->assertSame(200, $this->ask($this->data('do', ['1' => 'after']))['code']);
    }

    public function testNothingButAnswersGoesToStandardOutput(): void
    {
        $this->start();
        $this->assertSame('did everywhere', $this->ask($this->data('do', ['1' => 'everywhere']))['msg']);
        $this->assertSame('did notice', $this->ask($this->data('do', ['1' => 'notice']))['msg']);
        $answer = $this->ask($this->data('do', ['1' => 'stdout-constant']));
        $this->assertSame(500, $answer['code'], 'a failure that says why, and no spoiled answer');
        $this->assertStringContainsString('not a valid stream resource', $answer['msg']);
        $this->assertSame('did a', $this->ask($this->data('do', ['1' => 'a']))['msg']);
        [$code, $stdout, $stderr] = $this->end();
        $this->assertSame([0, ''], [$code, $stdout]);
        foreach (['echo', 'php://stdout', 'php://output', 'system', 'a child', 'a buffer'] as $by) {
            $this->assertStringContainsString("by $by\n", $stderr);
        }
    }

    public static function endings(): array
    {
        return [
            ['exit', 'worker called exit'],
            ['memory', 'Allowed memory size'],
            ['many', 'Allowed memory size'],
            ['fatal', 'declare class'],
            ['user-error', 'given up'],
        ];
    }

    /** @dataProvider endings */
    public function testTheScriptEndsAmongJobs(string $how, string $message): void
    {
        $this->start();
        $this->assertSame(200, $this->ask($this->data('do', ['1' => 'before']))['code']);
        $answer = $this->ask($this->data('do', ['1' => 'a', '2' => $how, '3' => 'b'], 'last'));
        $this->assertSame('last', $answer['outTraceId']);
        $this->assertSame([200, 500, 404], array_column($answer['jobs'], 'code'));
        $this->assertStringContainsString($message, $answer['jobs'][1]['msg']);
        $this->assertFalse(@fwrite($this->pipes[0], "\n"), 'it takes no further request that would be lost');
        $this->assertSame('', $this->end()[1], 'one answer, then it is gone');
    }

    public function testTheDeadlineAmongJobs(): void
    {
        $this->start(['PEPPERBUS_TIMEOUT' => '1000']);
        foreach (['first', 'second'] as $trace) {
            $answer = $this->ask($this->data('do', ['1' => 'slow', '2' => 'slow', '3' => 'slow', '4' => 'slow'], $trace));
            $this->assertOnlyWhatFits(4, $answer['jobs']);
        }
        $this->end();
        [$code, $out] = $this->startedFor('do', ['1' => 'slow', '2' => 'slow', '3' => 'slow'], ['PEPPERBUS_TIMEOUT' => '1000']);
        $this->assertSame(207, $code);
        $this->assertOnlyWhatFits(3, json_decode($out, true));
    }

    /**
     * Two jobs of 0.4 s fit into a second; one, where it took longer or began late. The next was not
     * begun because less was left than one took.
     */
    private function assertOnlyWhatFits(int $count, array $jobs): void
    {
        $codes = array_column($jobs, 'code');
        $done = count(array_keys($codes, 200));
        $this->assertSame(array_merge(array_fill(0, $done, 200), array_fill(0, $count - $done, 404)), $codes);
        $said = preg_match('/^not run: (-?\d+\.\d+) s are left of the timeout, and a job took (\d+\.\d+) s$/', $jobs[2]['msg'], $m);
        $this->assertSame(1, $said, $jobs[2]['msg']);
        $this->assertContains($done, [1, 2]);
        $this->assertGreaterThanOrEqual(0.4, (float) $m[2]);
        $this->assertLessThanOrEqual((float) $m[2], (float) $m[1]);
    }

    public function testHalfARequestIsNone(): void
    {
        $this->start();
        fwrite($this->pipes[0], substr(json_encode($this->data('do', ['1' => 'throw'])), 0, -10));
        $this->assertSame([0, ''], array_slice($this->end(), 0, 2));
    }

    public function testSigtermLetsTheJobFinish(): void
    {
        if (!extension_loaded('pcntl')) {
            $this->markTestSkipped('ext-pcntl is not installed');
        }
        $this->start();
        $this->ask(['type' => 'ping']);
        proc_terminate($this->process);
        $this->assertSame([0, ''], array_slice($this->end(false), 0, 2), 'an idle one ends at once');
        $this->start();
        $this->ask(['type' => 'ping']);
        fwrite($this->pipes[0], json_encode($this->data('do', ['1' => 'term'])) . "\n");
        $answer = $this->read();
        $this->assertSame([200, 'did term'], [$answer['code'], $answer['msg']]);
        $this->assertFalse(@fwrite($this->pipes[0], "\n"));
        $this->assertSame(0, $this->end(false)[0], 'then it ends, its input still open');
    }

    /**
     * A child that a handler forked is not the one who answers.
     *
     * @case L3
     */
    public function testAForkedChildSaysNothing(): void
    {
        if (!extension_loaded('pcntl')) {
            $this->markTestSkipped('ext-pcntl is not installed');
        }
        foreach (['exit', 'exit-1', 'throw', 'fatal', 'return'] as $how) {
            $this->start();
            for ($i = 0; $i < 2; $i++) {
                $answer = $this->ask($this->data('forks', ['1' => $how], "trace-$how-$i"));
                $this->assertSame(['code' => 200, 'outTraceId' => "trace-$how-$i", 'msg' => 'parent'], $answer, $how);
            }
            $this->assertSame([0, ''], array_slice($this->end(), 0, 2), $how);
            [$code, $out] = $this->startedFor('forks', ['1' => $how]);
            $this->assertSame([0, "parent\n"], [$code, $out], "once, $how");
        }
    }

    public static function sealedCases(): array
    {
        return [['shutdown-exit'], ['shutdown-throw'], ['destructor-throw'], ['destructor-exit'], ['global-destructor-throw'], ['error-handler']];
    }

    /**
     * @case L7
     * @dataProvider sealedCases
     */
    public function testAVerdictIsToldBeforeTheScriptEnds(string $how): void
    {
        $env = ['PEPPERBUS_VERDICT' => 'line', 'PEPPERBUS_TRACE_ID' => 'the-trace'];
        [, $out] = $this->startedFor('ending', ['1' => $how], $env);
        $answer = json_decode($out, true);
        $this->assertSame([200, 'the-trace'], [$answer['code'], $answer['outTraceId']], $out);
        $this->assertStringStartsWith('over', $answer['msg']);
        [, $out] = $this->startedFor('ending', ['1' => 'failing ' . $how], $env);
        $answer = json_decode($out, true);
        $this->assertSame(500, $answer['code']);
        $this->assertStringStartsWith('DomainException: as told', $answer['msg']);
        [, $out] = $this->startedFor('ending', ['1' => 'quiet', '2' => $how], $env);
        $this->assertSame([200, 200], array_column(json_decode($out, true)['jobs'], 'code'));
        $this->start();
        $this->assertSame(200, $this->ask($this->data('ending', ['1' => $how]))['code'], 'resident');
    }

    /** @case L8 */
    public function testWhatAHandlerReturnsChangesNoVerdict(): void
    {
        foreach (['throwing-json', 'bad-utf8', 'huge'] as $how) {
            $this->start();
            $this->assertSame(200, $this->ask($this->data('returns', ['1' => $how]))['code'], $how);
            $this->end();
            $this->assertSame(0, $this->startedFor('returns', ['1' => $how])[0], "once, $how");
        }
    }

    public static function onceCases(): array
    {
        return [
            'done' => ['do', ['1' => 'a'], 0, "did a\n", ''],
            'noise' => ['do', ['1' => 'everywhere'], 0, "did everywhere\n", 'by a child'],
            'thrown' => ['do', ['1' => 'throw'], 70, '', 'DomainException: no "1" in '],
            'exit' => ['do', ['1' => 'exit'], 70, '', 'worker called exit'],
            'memory' => ['do', ['1' => 'memory'], 70, '', 'Allowed memory size'],
            'not registered' => ['nobody', ['1' => 'a'], 69, "q/nobody is not registered in this file", ''],
            'no jobs' => ['do', [], 64, "the request holds no jobs\n", ''],
            'binary' => ['job', ['1' => "\xff\0x"], 0, "1 q/job 1 ff0078\n", ''],
        ];
    }

    /** @dataProvider onceCases */
    public function testOnce(string $topic, array $jobs, int $code, string $stdout, string $stderr): void
    {
        [$its, $out, $err] = $this->startedFor($topic, $jobs);
        $this->assertSame($code, $its, $err);
        $stdout === '' ? $this->assertSame('', $out) : $this->assertStringStartsWith($stdout, $out);
        $stderr === '' || $this->assertStringContainsString($stderr, $err);
    }

    public function testOnceWithSeveralJobs(): void
    {
        foreach (['throw' => [200, 500, 200], 'exit' => [200, 500, 404], 'memory' => [200, 500, 404]] as $how => $codes) {
            [$code, $out] = $this->startedFor('do', ['1' => 'a', '2' => $how, '3' => 'b']);
            $this->assertSame(207, $code);
            $this->assertSame($codes, array_column(json_decode($out, true), 'code'));
        }
        [$code, $out] = $this->startedFor('do', ['1' => 'a', '2' => 'b']);
        $this->assertSame(0, $code);
    }

    public function testOncePing(): void
    {
        $this->start(['PEPPERBUS_TYPE' => 'ping']);
        [$code, $out] = $this->end();
        $this->assertSame(0, $code);
        $this->assertStringContainsString('q/do', $out);
    }

    public function testOnTheCommandLineItSaysWhatItIs(): void
    {
        $this->start(['PEPPERBUS_QUEUE' => null]);
        [$code, $out, $err] = $this->end();
        $this->assertSame([0, ''], [$code, $out]);
        $this->assertStringContainsString('This is a Pepperbus worker', $err);
    }

    /** @return array{int,string,string} exit code, output, errors */
    private function startedFor(string $topic, array $jobs, array $env = []): array
    {
        $this->start($env + ['PEPPERBUS_TYPE' => 'data', 'PEPPERBUS_TOPIC' => $topic]);
        fwrite($this->pipes[0], json_encode($this->data($topic, $jobs)['jobs']));
        return $this->end();
    }

    private function start(array $env = []): void
    {
        $env = array_filter($env + ['PEPPERBUS_QUEUE' => 'q', 'PEPPERBUS_TOPIC' => 'do'] + getenv(), 'is_string');
        $this->process = proc_open(
            array_merge(self::PHP, [__DIR__ . '/workers/behaviours.php']),
            [['pipe', 'r'], ['pipe', 'w'], ['file', $this->dir->path . '/errors', 'w']],
            $this->pipes,
            null,
            $env
        );
    }

    /** @return array<string,mixed> */
    private function data(string $topic, array $jobs, string $trace = 'trace'): array
    {
        $list = [];
        foreach ($jobs as $id => $content) {
            $utf8 = preg_match('//u', $content) === 1;
            $list[] = ['id' => (string) $id, 'inTraceId' => 'in', 'content' => $utf8 ? $content : base64_encode($content), 'RetryTimes' => 1]
                + ($utf8 ? [] : ['encoding' => 'base64']);
        }
        return ['type' => 'data', 'outTraceId' => $trace, 'queue' => 'q', 'topic' => $topic, 'jobs' => $list];
    }

    private function ask(array $request): array
    {
        return $this->askLine(json_encode($request));
    }

    private function askLine(string $line): array
    {
        fwrite($this->pipes[0], "$line\n");
        return $this->read();
    }

    private function read(): array
    {
        stream_set_timeout($this->pipes[1], 30);
        $line = fgets($this->pipes[1]);
        $answer = json_decode((string) $line, true);
        $this->assertIsArray($answer, "an answer, not: $line");
        return $answer;
    }

    /** @return array{int,string,string} exit code, what was left of the output, errors */
    private function end(bool $closeInput = true): array
    {
        $process = $this->process;
        $this->process = null;
        $closeInput && fclose($this->pipes[0]);
        $out = (string) stream_get_contents($this->pipes[1]);
        $code = proc_close($process);
        return [$code, $out, (string) file_get_contents($this->dir->path . '/errors')];
    }
}

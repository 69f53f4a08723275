<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\Tests\Support\FastCgiReply;
use Pepper\Bus\Tests\Support\Fpm;
use PHPUnit\Framework\TestCase;

/** Worker files behind a real php-fpm, asked as a broker asks. */
final class WorkerTest extends TestCase
{
    /** @var Fpm|null */
    private static $fpm;

    public static function setUpBeforeClass(): void
    {
        $binary = Fpm::find();
        self::$fpm = $binary === null ? null : new Fpm($binary);
    }

    public static function tearDownAfterClass(): void
    {
        self::$fpm = null;
    }

    protected function setUp(): void
    {
        if (self::$fpm === null) {
            $this->markTestSkipped('php-fpm is not installed');
        }
    }

    public function testPing(): void
    {
        $reply = $this->post('behaviours.php', ['type' => 'ping']);
        $list = 'q/quiet,q/untyped,q/request,q/job,q/static,q/false,q/do,q/together,q/closure,q/no-class,q/no-method'
            . ',q/ending,q/silent,q/returns,q/forks,q/private,q/abstract,q/arguments,q/wants-array,q/wants-two,q/broken-class'
            . ',q/callable-array,q/static-text,q/function,q/union,q/mixed';
        $this->assertSame(200, $reply->code());
        $this->assertSame('0', $reply->headers['error-code']);
        $this->assertSame($list, $reply->headers['consume-topics']);
        $this->assertSame($list, $reply->body);
    }

    public static function messages(): array
    {
        return [
            ['quiet', 'x', ''],
            ['untyped', 'x', 'Pepper\Bus\Request 1 q/untyped x'],
            ['request', 'x', 'trace-1 x'],
            ['job', "\xff\0x", '1001 q/job 1 ff0078'],
            ['static', '{"a":["ü"]}', '{"n":1,"data":{"a":["ü"]}}'],
            ['false', 'x', 'false'],
            ['closure', 'x', 'closure x'],
            ['do', 'plain', 'did plain'],
            ['do', 'notice', 'did notice'],
            ['do', 'echo', 'did echo'],
            ['do', 'end-flush', 'did end-flush'],
            ['do', 'clean-all', 'did clean-all'],
            ['do', 'own-buffer', 'did own-buffer'],
            ['do', 'headers', 'did headers'],
            ['do', 'late-exception', 'did late-exception'],
        ];
    }

    /** @dataProvider messages */
    public function testDone(string $topic, string $content, string $message): void
    {
        foreach (["output_buffering=0\ndisplay_errors=1", "output_buffering=4096\ndisplay_errors=0"] as $ini) {
            $reply = $this->jobs($topic, [$content], 'behaviours.php', ['PHP_VALUE' => $ini]);
            $this->assertSame($message, $reply->body);
            $this->assertSame(200, $reply->code());
            $this->assertSame('0', $reply->headers['error-code']);
            $this->assertArrayNotHasKey('status', $reply->headers);
            $this->assertArrayNotHasKey('location', $reply->headers);
        }
    }

    public static function failures(): array
    {
        $file = preg_quote(__DIR__ . '/workers/behaviours.php', '~');
        return [
            ['do', 'throw', "~^DomainException: no \"1001\" in $file:\d+$~", 42],
            ['do', 'type', "~^TypeError: strlen.* in $file:\d+$~", 1],
            ['do', 'exit', '~^worker called exit$~', 1],
            ['do', 'die', '~^worker called exit$~', 1],
            ['do', 'memory', "~^Allowed memory size of .* exhausted .* in $file:\d+$~", 1],
            ['do', 'many', "~^Allowed memory size of .* exhausted .* in $file:\d+$~", 1],
            ['do', 'fatal', '~Cannot (re)?declare class Behaviours.* in .*behaviours.php~', 1],
            ['do', 'user-error', "~^given up in $file:\d+$~", 1],
            ['do', 'timeout', "~^Maximum execution time of 1 second exceeded in $file:\d+$~", 1],
            ['do', 'parse', '~^ParseError: .*broken.inc:3$~', 1],
            ['do', 'finish', '~fastcgi_finish_request~', 1],
            ['do', 'nul', "~^Exception: line one\nline ~", 1],
            ['static', 'not json', '~job 1001 is not JSON~', 1],
        ];
    }

    /** @dataProvider failures */
    public function testFailed(string $topic, string $content, string $message, int $errCode): void
    {
        foreach (["output_buffering=0\ndisplay_errors=1", "output_buffering=4096\ndisplay_errors=0"] as $ini) {
            $reply = $this->jobs($topic, [$content], 'behaviours.php', ['PHP_VALUE' => $ini]);
            $this->assertMatchesRegularExpression($message, $reply->body);
            $this->assertSame(500, $reply->code());
            $this->assertSame((string) $errCode, $reply->headers['error-code']);
        }
    }

    /**
     * @case P1
     * Output past the buffer sends the headers, and so does flush() alone since PHP 8.4.
     */
    public function testHeadersThatLeaveBeforeTheVerdictPromiseAList(): void
    {
        foreach ([['clean-all-echo'], ['clean-all-echo', 'plain'], ['flush']] as $contents) {
            $reply = $this->jobs('do', $contents);
            if ($reply->code() === 200) { // nothing has left early
                $this->assertSame(['flush', 'did flush'], [$contents[0], $reply->body]);
                continue;
            }
            $this->assertSame(207, $reply->code());
            $results = json_decode(substr($reply->body, (int) strpos($reply->body, '[{')), true);
            $this->assertSame(array_fill(0, count($contents), 200), array_column($results, 'code'), $reply->body);
            foreach ($contents as $i => $content) {
                $this->assertSame("did $content", $results[$i]['msg']);
            }
        }
    }

    public function testStrayOutputGoesToTheLog(): void
    {
        $reply = $this->jobs('do', ['echo']);
        $this->assertStringContainsString('dropped 20006 bytes of output: noise nnn', $reply->stderr);
        $this->assertLessThan(1000, strlen($reply->stderr));
    }

    public function testNotRegistered(): void
    {
        $reply = $this->jobs('nobody', ['x']);
        $this->assertSame(404, $reply->code());
        $this->assertStringContainsString('q/nobody is not registered in this file; registered: q/quiet, ', $reply->body);
        $this->assertArrayNotHasKey('status', $reply->headers);
    }

    public function testJobsOfOneRequestFailAlone(): void
    {
        $reply = $this->jobs('do', ['a', 'throw', 'type', 'b']);
        $this->assertSame(207, $reply->code());
        $results = json_decode($reply->body, true);
        $this->assertSame(['1001', '1002', '1003', '1004'], array_column($results, 'id'));
        $this->assertSame([200, 500, 500, 200], array_column($results, 'code'));
        $this->assertSame('did a', $results[0]['msg']);
        $this->assertStringStartsWith('DomainException: no "1002"', $results[1]['msg']);
        $this->assertSame(['id', 'code', 'msg'], array_keys($results[0]));
    }

    public function testEveryJobHasItsOwnObjectAndRequest(): void
    {
        $this->assertSame(200, $this->jobs('job', ['a', 'b', 'c'])->code());
        $messages = array_column(json_decode($this->jobs('untyped', ['a', "\xff\xfe"])->body, true), 'msg');
        $this->assertSame('Pepper\Bus\Request 1 q/untyped a', $messages[0]);
        $this->assertCount(2, $messages);
    }

    /** @dataProvider endings */
    public function testTheScriptEndsAmongSeveralJobs(string $how, string $message): void
    {
        $reply = $this->jobs('do', ['a', $how, 'b', 'c']);
        $this->assertSame(207, $reply->code());
        $results = json_decode($reply->body, true);
        $this->assertSame(['1001', '1002', '1003', '1004'], array_column($results, 'id'));
        $this->assertSame([200, 500, 404, 404], array_column($results, 'code'));
        $this->assertStringContainsString($message, $results[1]['msg']);
        $this->assertSame('not run: job 1002 ended the script', $results[2]['msg']);
    }

    public static function endings(): array
    {
        return [['exit', 'worker called exit'], ['memory', 'Allowed memory size'], ['fatal', 'declare class'], ['timeout', 'Maximum execution']];
    }

    public function testFinishedEarlyAmongSeveralJobsIsNoSuccess(): void
    {
        $this->assertSame(500, $this->jobs('do', ['a', 'finish', 'b'])->code());
    }

    public function testTheDeadlineAmongSeveralJobs(): void
    {
        $this->assertSame('no deadline', $this->jobs('do', ['slow'])->body);
        $left = $this->jobs('do', ['slow'], 'behaviours.php', self::timeout(60000))->body;
        $this->assertMatchesRegularExpression('/^\d+\.\d$/', $left);
        $this->assertLessThanOrEqual(59.6, (float) $left, 'a job of 0.4 s');
        $this->assertGreaterThan(0, (float) $left);
        $this->assertSame(200, $this->jobs('do', ['slow', 'slow'], 'behaviours.php', self::timeout(60000))->code());
        $reply = $this->jobs('do', ['slow', 'slow', 'slow', 'slow'], 'behaviours.php', self::timeout(1000));
        $this->assertSame(207, $reply->code());
        $results = json_decode($reply->body, true);
        $this->assertSame(['1001', '1002', '1003', '1004'], array_column($results, 'id'));
        $codes = array_column($results, 'code');
        // Two of 0.4 s; one, where it took half of the second and more.
        $this->assertContains($codes, [[200, 200, 404, 404], [200, 404, 404, 404]], 'what would not be told is not begun');
        $said = preg_match('/^not run: (-?\d+\.\d+) s are left of the timeout, and a job took (\d+\.\d+) s$/', $results[2]['msg'], $m);
        $this->assertSame(1, $said, $results[2]['msg']);
        $this->assertGreaterThanOrEqual(0.4, (float) $m[2]);
        $this->assertLessThanOrEqual((float) $m[2], (float) $m[1]);
        // The first one is always run: clocks and timeouts may be as wrong as they like.
        $reply = $this->jobs('do', ['a', 'b'], 'behaviours.php', self::timeout(0));
        $this->assertSame([200, 404], array_column(json_decode($reply->body, true), 'code'));
    }

    private static function timeout(int $ms): array
    {
        return ['HTTP_X_PEPPERBUS_TIMEOUT' => (string) $ms];
    }

    public function testLongMessagesAreCut(): void
    {
        $body = $this->jobs('do', ['chatty'])->body;
        $this->assertMatchesRegularExpression('/^ü+... \(4000000 bytes\)$/u', $body);
        $this->assertLessThan(5000, strlen($body));
        $reply = $this->jobs('do', array_fill(0, 20, 'chatty'));
        $this->assertSame(200, $reply->code());
        $this->assertCount(20, json_decode($reply->body, true));
        $this->assertLessThan(100000, strlen($reply->body));
        $reply = $this->jobs('static', array_fill(0, 10000, '"' . str_repeat('x', 200) . '"'), 'behaviours.php', ['PHP_VALUE' => 'memory_limit=128M']);
        $this->assertSame(200, $reply->code());
        $this->assertCount(10000, json_decode($reply->body, true));
        $this->assertLessThan(1 << 20, strlen($reply->body));
    }

    public function testABatchHandlerGetsAllJobsAtOnce(): void
    {
        $reply = $this->jobs('together', ['a', "\xff\0", 'c']);
        $this->assertSame(200, $reply->code());
        $results = json_decode($reply->body, true);
        $this->assertSame(['1001', '1002', '1003'], array_column($results, 'id'));
        $this->assertSame(array_fill(0, 3, '3 of q/together trace-1'), array_column($results, 'msg'));
        $one = $this->jobs('together', ['a']);
        $this->assertSame([200, '1 of q/together trace-1'], [$one->code(), $one->body]);
        $failed = $this->jobs('together', ['fail']);
        $this->assertSame(500, $failed->code());
        $this->assertStringContainsString('no room for 1001', $failed->body);
    }

    public function testABatchHandlerTellsTheOutcomeOfEach(): void
    {
        $reply = $this->jobs('together', ['a', 'fail', 'done', 'fail-throwable', 'b']);
        $this->assertSame(207, $reply->code());
        $results = json_decode($reply->body, true);
        $this->assertSame([200, 500, 200, 500, 200], array_column($results, 'code'));
        $this->assertSame(['no room for 1002', 'written'], [$results[1]['msg'], $results[2]['msg']]);
        $this->assertStringStartsWith('DomainException: not this one in ', $results[3]['msg']);
    }

    /** @dataProvider batchEndings */
    public function testABatchHandlerThatDoesNotReturn(string $how, string $message): void
    {
        foreach (["output_buffering=0\ndisplay_errors=1", "output_buffering=4096\ndisplay_errors=0"] as $ini) {
            $reply = $this->jobs('together', ['done', 'a', 'fail', $how, 'b'], 'behaviours.php', ['PHP_VALUE' => $ini]);
            $this->assertSame(207, $reply->code());
            $results = json_decode($reply->body, true);
            $this->assertSame([200, 500, 500, 500, 500], array_column($results, 'code'), 'said before: counts; else nobody knows');
            $this->assertSame(['written', 'no room for 1003'], [$results[0]['msg'], $results[2]['msg']]);
            foreach ([1, 3, 4] as $i) {
                $this->assertStringContainsString($message, $results[$i]['msg']);
            }
        }
    }

    public static function batchEndings(): array
    {
        return array_merge(self::endings(), [['throw', 'DomainException: no "1004"'], ['user-error', 'given up']]);
    }

    public function testABatchWithoutAReadableJob(): void
    {
        $reply = $this->post('behaviours.php', ['type' => 'data', 'queue' => 'q', 'topic' => 'together', 'jobs' => json_encode([
            ['id' => '1', 'content' => '!!', 'encoding' => 'base64'],
            ['id' => '2', 'content' => 'x'],
            ['id' => '3'],
        ])]);
        $results = json_decode($reply->body, true);
        $this->assertSame([500, 200, 500], array_column($results, 'code'));
        $this->assertStringStartsWith('1 of q/together', $results[1]['msg']);
    }

    public function testBinaryContentOfAnySize(): void
    {
        $bytes = random_bytes(3000000);
        $reply = $this->post('behaviours.php', ['type' => 'data', 'queue' => 'q', 'topic' => 'static', 'outTraceId' => 't',
            'jobs' => json_encode([['id' => '1', 'content' => base64_encode(json_encode(md5($bytes)) . str_repeat(' ', 3000000)), 'encoding' => 'base64']])]);
        $this->assertSame(200, $reply->code());
        $this->assertStringContainsString(md5($bytes), $reply->body);
    }

    public static function badRequests(): array
    {
        return [
            'no jobs' => [['type' => 'data', 'queue' => 'q', 'topic' => 'quiet'], 'no jobs'],
            'empty jobs' => [['type' => 'data', 'queue' => 'q', 'topic' => 'quiet', 'jobs' => '[]'], 'no jobs'],
            'jobs cut off' => [['type' => 'data', 'queue' => 'q', 'topic' => 'quiet', 'jobs' => '[{"id":"1"'], 'no jobs'],
            'no type' => [['queue' => 'q', 'topic' => 'quiet', 'jobs' => '[{"id":"1","content":""}]'], 'unknown request type'],
        ];
    }

    /** @dataProvider badRequests */
    public function testBadRequestsReachNoHandler(array $fields, string $message): void
    {
        $reply = $this->post('behaviours.php', $fields);
        $this->assertSame(400, $reply->code());
        $this->assertStringContainsString($message, $reply->body);
    }

    public function testBadJobs(): void
    {
        $reply = $this->post('behaviours.php', ['type' => 'data', 'queue' => 'q', 'topic' => 'job', 'jobs' => json_encode([
            ['id' => '1', 'content' => '!!', 'encoding' => 'base64'],
            ['id' => '2', 'content' => 'x', 'encoding' => 'rot13'],
            ['id' => '3'],
            'text',
            ['id' => '5', 'content' => ''],
        ])]);
        $this->assertSame(207, $reply->code());
        $this->assertSame([500, 500, 500, 500, 200], array_column(json_decode($reply->body, true), 'code'));
    }

    public function testFormLargerThanPhpAllows(): void
    {
        $reply = $this->jobs('do', [str_repeat('x', 200000)], 'behaviours.php', ['PHP_VALUE' => 'post_max_size=100K']);
        $this->assertSame(200, $reply->code());
    }

    public static function settings(): array
    {
        return [['filter.default=special_chars'], ['enable_post_data_reading=0'], ['variables_order=G'], ['max_input_vars=3'],
            ['variables_order='], ["mbstring.encoding_translation=1\nmbstring.http_input=ISO-8859-1"], ['auto_globals_jit=1'],
            ['zlib.output_compression=1']];
    }

    /**
     * Bytes that filters and frameworks like to change arrive as the producer gave them.
     *
     * @case L4
     * @dataProvider settings
     */
    public function testTheFormIsWhatWasSentWhateverPhpMakesOfIt(string $ini): void
    {
        $content = "it's <b>\"a\\b\"</b> & ü \t%41+";
        foreach (['behaviours.php' => 'job', 'wordpress.php' => 'job', 'emptied.php' => 'job'] as $file => $topic) {
            $this->assertSame(200, $this->post($file, ['type' => 'ping', 'queue' => 'q', 'topic' => $topic], ['PHP_VALUE' => $ini])->code(), $file);
            $reply = $this->jobs($topic, [$content], $file, ['PHP_VALUE' => $ini]);
            $this->assertSame(200, $reply->code(), "$file $reply->body");
            $this->assertSame('1001 q/job 1 ' . bin2hex($content), $reply->body, $file);
        }
    }

    /** Who takes the header from the web server is not fooled by an empty $_SERVER. */
    public function testAForeignFormThroughAWebServerIsRefusedWithoutTheHeader(): void
    {
        foreach (['', 'variables_order=G'] as $ini) {
            $reply = $this->jobs('job', ['x'], 'behaviours.php', ['HTTP_HOST' => 'example.com', 'PHP_VALUE' => $ini]);
            $this->assertSame(404, $reply->code());
            $reply = $this->jobs('job', ['x'], 'behaviours.php', ['HTTP_HOST' => 'example.com', 'HTTP_IS_PEPPER_BUS_REQUEST' => 'true', 'PHP_VALUE' => $ini]);
            $this->assertSame(200, $reply->code());
        }
    }

    public static function afterwards(): array
    {
        $all = [];
        foreach (['shutdown-remove', 'shutdown-code', 'shutdown-exit', 'shutdown-throw', 'shutdown-callback', 'shutdown-status',
            'destructor-throw', 'destructor-exit', 'destructor-code', 'global-destructor-throw', 'global-destructor-code',
            'error-handler'] as $how) {
            $all[$how] = [$how];
        }
        return $all;
    }

    /**
     * @case L7
     * @dataProvider afterwards
     */
    public function testAVerdictIsSealedWhenTheHandlerEnds(string $how): void
    {
        foreach (['ending', 'silent'] as $topic) {
            $reply = $this->jobs($topic, [$how]);
            $this->assertSame(200, $reply->code(), "$topic $reply->body $reply->stderr");
            $this->assertArrayNotHasKey('status', $reply->headers);
            $this->assertSame('0', $reply->headers['error-code']);
        }
        $reply = $this->jobs('ending', ['failing ' . $how]);
        $this->assertSame(500, $reply->code(), 'and so is a failure');
        $this->assertStringStartsWith('DomainException: as told', $reply->body);
        $reply = $this->jobs('ending', ['quiet', $how]);
        $this->assertSame(200, $reply->code(), $reply->body);
    }

    /** @case L8 */
    public function testWhatAHandlerReturnsChangesNoVerdict(): void
    {
        foreach (['throwing-json' => 'cannot be shown: RuntimeException: no JSON', 'bad-utf8' => 'cannot be shown: Malformed',
            'recursion' => 'cannot be shown: Recursion', 'resource' => 'cannot be shown', 'huge' => 'after it the script ended: Allowed memory'] as $how => $message) {
            $reply = $this->jobs('returns', [$how]);
            $this->assertSame(200, $reply->code(), "$how: $reply->body");
            $this->assertStringContainsString($message, $reply->body);
        }
        $reply = $this->jobs('returns', ['huge', 'small']);
        $this->assertSame(207, $reply->code());
        $this->assertSame([200, 404], array_column(json_decode($reply->body, true), 'code'));
        $reply = $this->jobs('returns', ['long-exception']);
        $this->assertSame(500, $reply->code());
        $this->assertStringStartsWith('RuntimeException: xxx', $reply->body);
        $this->assertStringContainsString('behaviours.php:', $reply->body);
        $this->assertLessThan(10000, strlen($reply->body));
    }

    public static function unusable(): array
    {
        return [
            ['no-class', '~^class NoSuchClass, registered for q/no-class \(.*behaviours.php:\d+\), does not exist$~'],
            ['no-method', '~^Behaviours::noSuchMethod\(\), registered for q/no-method .*, does not exist$~'],
            ['private', '~is not public~'],
            ['abstract', '~cannot be made: it is abstract~'],
            ['arguments', '~its constructor needs arguments~'],
            ['wants-array', '~takes array as its first argument~'],
            ['wants-two', '~needs 2 arguments~'],
            ['broken-class', '~cannot be loaded: ParseError~'],
        ];
    }

    /**
     * @case L9
     * @dataProvider unusable
     */
    public function testAPingTellsOfAHandlerThatCannotBeCalledAndJobsWait(string $topic, string $message): void
    {
        $ping = $this->post('behaviours.php', ['type' => 'ping', 'queue' => 'q', 'topic' => $topic]);
        $this->assertSame(500, $ping->code());
        $this->assertMatchesRegularExpression($message, $ping->body);
        $this->assertArrayNotHasKey('consume-topics', $ping->headers);
        $data = $this->jobs($topic, ['x', 'y']);
        $this->assertSame(404, $data->code(), 'they go back, no attempt is counted');
        $this->assertMatchesRegularExpression($message, $data->body);
        $this->assertSame(200, $this->post('behaviours.php', ['type' => 'ping', 'queue' => 'q', 'topic' => 'quiet'])->code(), 'others do not suffer');
    }

    /** @case D4 */
    public function testCallablesAndUnionTypes(): void
    {
        foreach (['callable-array', 'static-text', 'function', 'union', 'mixed'] as $topic) {
            $ping = $this->post('behaviours.php', ['type' => 'ping', 'queue' => 'q', 'topic' => $topic]);
            $this->assertSame(200, $ping->code(), "$topic $ping->body");
            $this->assertSame([200, "$topic x"], [$this->jobs($topic, ['x'])->code(), $this->jobs($topic, ['x'])->body]);
        }
    }

    public function testRequestFromElsewhere(): void
    {
        $reply = self::$fpm->request(__DIR__ . '/workers/behaviours.php', ['type' => 'data', 'queue' => 'q', 'topic' => 'quiet']);
        $this->assertSame(404, $reply->code());
        $this->assertStringContainsString('does not come from a broker', $reply->body);
    }

    public function testNoiseAllOver(): void
    {
        foreach ([['noisy-after-load.php', 0], ['noisy-after-load.php', 4096], ['noisy.php', 4096]] as [$file, $buffering]) {
            $reply = $this->jobs('noisy', ['x'], $file, ['PHP_VALUE' => "output_buffering=$buffering"]);
            $this->assertSame(200, $reply->code(), $file);
            $this->assertSame('message', $reply->body);
            foreach (['before do()', 'inside', 'after do()'] as $where) {
                $this->assertStringContainsString("noise $where", $reply->stderr);
            }
        }
    }

    public function testOutputBeforeTheSdkIsRefusedBeforeAJobIsSpent(): void
    {
        $reply = $this->jobs('noisy', ['x'], 'noisy.php', ['PHP_VALUE' => 'output_buffering=0']);
        $this->assertNotSame(200, $reply->code());
        $this->assertStringNotContainsString('inside', $reply->stderr . $reply->body);
        $this->assertMatchesRegularExpression('~already been sent at .*noisy.php:\d~', $reply->stderr);
    }

    public function testBrokenWorkerFiles(): void
    {
        foreach ([
            'no-do.php' => '~without an answer~',
            'broken-include.php' => '~^syntax error, .* in .*broken.inc:3$~',
            'twice.php' => '~ConfigException: q/t is registered twice in~',
        ] as $file => $message) {
            foreach (['ping', 'data'] as $type) {
                $reply = $this->post($file, ['type' => $type]);
                $this->assertSame(500, $reply->code(), $file);
                $this->assertMatchesRegularExpression($message, $reply->body);
                $this->assertStringNotContainsString('#0', $reply->body);
                $this->assertArrayNotHasKey('status', $reply->headers);
            }
        }
    }

    public function testAnErrorAfterTheAnswerChangesNothing(): void
    {
        $reply = $this->jobs('t', ['x'], 'fails-after.php', ['PHP_VALUE' => 'display_errors=1']);
        $this->assertSame([200, ''], [$reply->code(), $reply->body]);
        $this->assertArrayNotHasKey('status', $reply->headers);
        $this->assertStringContainsString('too late to change', $reply->stderr);
    }

    public function testProcessClient(): void
    {
        $this->assertSame('q/old', $this->post('process-client.php', ['type' => 'ping'])->headers['consume-topics']);
        $reply = $this->jobs('old', ['as it was'], 'process-client.php');
        $this->assertSame([200, 'as it was'], [$reply->code(), $reply->body]);
    }

    public function testFirstSdksServer(): void
    {
        $ping = $this->post('predecessor.php', ['type' => 'ping']);
        $this->assertSame([200, 'q/first', 'q/first'], [$ping->code(), $ping->body, $ping->headers['consume-topics']]);
        $done = $this->jobs('first', ['x'], 'predecessor.php');
        $this->assertSame([200, 'ok x'], [$done->code(), $done->body]);
        $failed = $this->jobs('first', ['throw'], 'predecessor.php');
        $this->assertSame([500, '9', 'no luck'], [$failed->code(), $failed->headers['error-code'], $failed->body]);
        $several = $this->jobs('first', ['throw', 'x'], 'predecessor.php');
        $this->assertSame([207, [500, 200]], [$several->code(), array_column(json_decode($several->body, true), 'code')]);
        $this->assertSame(404, $this->jobs('second', ['x'], 'predecessor.php')->code());
        $this->assertSame(404, self::$fpm->request(__DIR__ . '/workers/predecessor.php', [])->code());
    }

    private function jobs(string $topic, array $contents, string $file = 'behaviours.php', array $params = []): FastCgiReply
    {
        $jobs = [];
        foreach ($contents as $i => $content) {
            $job = ['id' => (string) (1001 + $i), 'inTraceId' => 'in', 'content' => $content, 'retrying' => 0, 'RetryTimes' => 1,
                'RetryTime' => 1, 'IsRetry' => true, 'BeginRetry' => false, 'RetryResidueTime' => 0];
            if (!preg_match('//u', $content)) {
                $job['content'] = base64_encode($content);
                $job['encoding'] = 'base64';
            }
            $jobs[] = $job;
        }
        return $this->post($file, ['type' => 'data', 'outTraceId' => 'trace-1', 'queue' => 'q', 'topic' => $topic,
            'jobs' => json_encode($jobs)], $params);
    }

    private function post(string $file, array $fields, array $params = []): FastCgiReply
    {
        return self::$fpm->request(__DIR__ . "/workers/$file", ['IS_PEPPER_BUS_REQUEST' => 'true'] + $fields, $params);
    }
}

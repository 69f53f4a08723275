<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\ConfigException;
use Pepper\Bus\Signature;
use Pepper\Bus\Tests\Support\FastCgi;
use Pepper\Bus\Tests\Support\FastCgiReply;
use Pepper\Bus\Tests\Support\Fpm;
use PHPUnit\Framework\TestCase;

/** Signatures of requests: the check by itself, and worker files behind a real php-fpm. */
final class SignatureTest extends TestCase
{
    private const OLD = 'the old key';
    private const NEW = 'the new key';

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

    /** The same figures as in doc/signature.md, for whoever writes a check of his own. */
    public function testTheDocumentedExample(): void
    {
        $this->assertSame(
            't=1732527150,v2=4f1e5d8ba24e14510d9c425faf1a3533a5f90eb9ac23071ab7b0b06a314fd818',
            Signature::of('type=ping', 'secret', 1732527150, 'msg/reply')
        );
    }

    /** The checks in doc/signature.md agree with the SDK's. */
    public function testTheDocumentedChecks(): void
    {
        $doc = (string) @file_get_contents(__DIR__ . '/../../../doc/signature.md');
        $ran = 0;
        foreach ([
            'python' => ['python3', "import json, sys\nfor h, b, k, n in json.loads(%s): print(int(is_from_broker(h, b.encode(), 'q/signed', k, now=n)))"],
            'js' => ['node', "for (const [h, b, k, n] of JSON.parse(%s)) console.log(Number(isFromBroker(h, Buffer.from(b), 'q/signed', k, 'form', 300, n)));"],
        ] as $language => [$program, $loop]) {
            if (!preg_match("/^```$language\\n(.*?)^```$/ms", $doc, $code) || shell_exec("command -v $program") === null) {
                continue;
            }
            $cases = $expected = [];
            foreach ($this->faults() as [$header, $fault]) {
                if (preg_match('/^[\x20-\x7e]*$/D', $header) && strpos($header, 'V2') === false && !preg_match('/v2=[^,]*[A-Z]/', $header)) {
                    $cases[] = [$header, 'body', [self::OLD, self::NEW], 1732527150];
                    $expected[] = $fault === '' ? '1' : '0';
                }
            }
            $file = tempnam(sys_get_temp_dir(), 'pb');
            file_put_contents($file, $code[1] . sprintf($loop, json_encode(json_encode($cases))) . "\n");
            exec("$program - < " . escapeshellarg($file), $said, $status);
            unlink($file);
            $this->assertSame([0, $expected], [$status, $said], $language);
            $said = [];
            $ran++;
        }
        $ran > 0 || $this->markTestSkipped('neither the document nor python3 or node is there');
    }

    public static function faults(): array
    {
        $now = 1732527150;
        $good = Signature::of('body', self::NEW, $now, 'q/signed');
        $mac = substr($good, strpos($good, 'v2='));
        return [
            'right' => [$good, ''],
            'right, by the other key' => [Signature::of('body', self::OLD, $now, 'q/signed'), ''],
            'upper case and blanks' => ["t=$now, v2=" . strtoupper(substr($mac, 3)), ''],
            'two, the second is right' => ["t=$now,v2=" . str_repeat('0', 64) . ",$mac", ''],
            'with what a later version may add' => ["t=$now,v3=zz,$mac,x", ''],
            'at the edge' => [Signature::of('body', self::NEW, $now - 300, 'q/signed'), ''],
            'at the other edge' => [Signature::of('body', self::NEW, $now + 300, 'q/signed'), ''],
            'none' => ['', 'has no signature'],
            'too old' => [Signature::of('body', self::NEW, $now - 301, 'q/signed'), 'made 301 s ago'],
            'from the future' => [Signature::of('body', self::NEW, $now + 999, 'q/signed'), 'made -999 s ago'],
            'another key' => [Signature::of('body', 'x', $now, 'q/signed'), 'not one of the 2 keys'],
            'an old one by another key tells nothing of clocks' => [Signature::of('body', 'x', 5, 'q/signed'), 'does not match'],
            'another body' => [Signature::of('body ', self::NEW, $now, 'q/signed'), 'does not match'],
            'another time' => ['t=' . ($now + 1) . ",$mac", 'does not match'],
            'cut off' => [substr($good, 0, -1), 'does not match'],
            'empty mac' => ["t=$now,v2=", 'does not match'],
            'no time' => [$mac, 'cannot be read'],
            'no number' => ["t=1e9,$mac", 'cannot be read'],
            'a line feed' => ["t=\n$now,$mac", 'cannot be read'],
            'no mac' => ["t=$now", 'cannot be read'],
            'of content' => [Signature::of('body', self::NEW, $now, 'q/signed', 'content'), 'does not match'],
            'of another topic' => [Signature::of('body', self::NEW, $now, 'q/other'), 'does not match'],
            'of the old form' => ["t=$now,v1=" . hash_hmac('sha256', "$now.body", self::NEW), 'has the form v1'],
            'noise' => ["\0\xff=,,==", 'cannot be read'],
        ];
    }

    /** @dataProvider faults */
    public function testFaults(string $header, string $fault): void
    {
        $said = (new Signature([self::OLD, self::NEW]))->fault($header, 'body', 'q/signed', 1732527150);
        if ($fault === '') {
            $this->assertSame('', $said);
        } else {
            $this->assertMatchesRegularExpression("/$fault/", $said);
        }
        $this->assertStringNotContainsString('the old', $said);
        $this->assertStringNotContainsString('the new', $said);
    }

    public function testKeysThatWouldTurnItOffAreRefused(): void
    {
        foreach (['', [], [''], ['x', ''], [null], null, false, [5]] as $keys) {
            try {
                new Signature($keys);
                $this->fail('taken: ' . var_export($keys, true));
            } catch (ConfigException $e) {
                $this->addToAssertionCount(1);
            }
        }
    }

    public function testWhereKeysComeFrom(): void
    {
        $this->assertNull(Signature::configured(null));
        $this->assertNull(Signature::configured(['servers' => []]));
        try {
            putenv('PEPPERBUS_SIGNING_KEY=a');
            putenv('PEPPERBUS_SIGNING_KEY_OLD=b');
            foreach (['a', 'b'] as $key) {
                $this->assertSame('', Signature::configured(null)->fault(Signature::of('x', $key, time(), 'q/signed'), 'x', 'q/signed'));
            }
            $this->assertNotSame('', Signature::configured(['signing_keys' => 'c'])->fault(Signature::of('x', 'a', time(), 'q/signed'), 'x', 'q/signed'));
            putenv('PEPPERBUS_SIGNING_KEY=');
            $this->expectException(ConfigException::class);
            Signature::configured(null);
        } finally {
            putenv('PEPPERBUS_SIGNING_KEY');
            putenv('PEPPERBUS_SIGNING_KEY_OLD');
        }
    }

    public function testKeysDoNotShowInDumps(): void
    {
        $signature = new Signature(self::NEW);
        $this->assertStringNotContainsString(self::NEW, print_r($signature, true));
    }

    public function testAWorkerThatTakesOnlySignedRequests(): void
    {
        foreach (['call', 'conf', 'first'] as $given) {
            $this->assertSame([200, 'did x'], $this->send($given, self::NEW), $given);
            [$code, $message] = $this->send($given, null);
            $this->assertSame(403, $code, $given);
            $this->assertStringContainsString('has no signature', $message);
            [$code, $message] = $this->send($given, 'a third key');
            $this->assertSame(403, $code, $given);
            $this->assertStringContainsString('does not match', $message);
            [$code, $message] = $this->send($given, self::NEW, -1000);
            $this->assertSame(403, $code, $given);
            $this->assertMatchesRegularExpression('/made 100\d s ago/', $message);
        }
        $this->assertSame(200, $this->send('call', self::OLD)[0]);
        $this->assertSame(403, $this->send('conf', self::OLD)[0]);
        $this->assertSame(403, $this->send('conf', self::NEW, -100)[0], 'its tolerance is 60 s');
        $this->assertSame(403, $this->send('strict', self::NEW, 60)[0], 'its tolerance is 5 s');
    }

    public function testPingsAreRefusedAsWell(): void
    {
        $this->assertSame([200, 'q/signed'], $this->send('call', self::NEW, 0, ['type' => 'ping']));
        $this->assertSame(403, $this->send('call', null, 0, ['type' => 'ping'])[0]);
        $reply = $this->request('call', http_build_query(['IS_PEPPER_BUS_REQUEST' => 'true', 'type' => 'ping']), '');
        $this->assertArrayNotHasKey('consume-topics', $reply->headers, 'who is not trusted is not told the topics');
    }

    public function testTheBodyIsWhatCounts(): void
    {
        $body = $this->body(['jobs' => '[{"id":"1","content":"x"}]']);
        $signature = Signature::of($body, self::NEW, time(), 'q/signed');
        $this->assertSame(200, $this->request('call', $body, $signature)->code());
        $reply = $this->request('call', str_replace('x%22', 'y%22', $body), $signature);
        $this->assertSame(403, $reply->code());
        $this->assertStringNotContainsString('Signed::run', $reply->stderr, 'no handler was called');
        $large = $this->body(['jobs' => json_encode([['id' => '1', 'content' => str_repeat('ü', 500000)]])]);
        $this->assertSame(200, $this->request('call', $large, Signature::of($large, self::NEW, time(), 'q/signed'))->code());
    }

    public function testKeysThatCannotBeUsedLetNobodyIn(): void
    {
        foreach (['empty', 'empty-conf'] as $given) {
            [$code, $message] = $this->send($given, null);
            $this->assertSame(500, $code);
            $this->assertStringContainsString('signing key', $message);
        }
    }

    public function testWithoutKeysASignatureDoesNoHarm(): void
    {
        $this->assertSame([200, 'did x'], $this->send('', 'whatever'));
        $this->assertSame([200, 'did x'], $this->send('', null));
    }

    /** @case X4 */
    public function testAFormOfAnotherTypeOrAnEmptyOneIsNoForm(): void
    {
        $fields = ['IS_PEPPER_BUS_REQUEST' => 'true', 'type' => 'data', 'queue' => 'q', 'topic' => 'signed', 'jobs' => '[{"id":"1","content":"evil"}]'];
        $parts = '';
        foreach ($fields as $name => $value) {
            $parts .= "--b\r\nContent-Disposition: form-data; name=\"$name\"\r\n\r\n$value\r\n";
        }
        $signed = [Signature::FIELD => Signature::of('', self::NEW, time(), 'q/signed')];
        foreach ([
            'multipart/form-data; boundary=b' => "$parts--b--\r\n",
            'text/plain' => $this->body($fields),
        ] as $type => $body) {
            $reply = $this->request('call', $body, '', $signed + ['CONTENT_TYPE' => $type]);
            $this->assertNotSame(200, $reply->code(), $type);
            $this->assertStringNotContainsString('Signed::run', $reply->stderr, 'no handler was called');
        }
    }

    /** @case X4 */
    public function testTheOldFormIsTakenWhereItIsAskedFor(): void
    {
        $body = $this->body(['jobs' => '[{"id":"1","content":"x"}]']);
        $old = 't=' . time() . ',v1=' . hash_hmac('sha256', time() . ".$body", self::NEW);
        $this->assertSame(403, $this->request('call', $body, $old)->code());
        $this->assertStringContainsString('signing_version', $this->request('call', $body, $old)->body);
        $this->assertSame(200, $this->request('old-form', $body, $old)->code());
        $this->assertSame([200, 'did x'], $this->send('old-form', self::NEW), 'and the new one as well');
        $this->assertStringContainsString('no body', (new Signature(self::NEW, 300, true))->fault("t=5,v1=$body", '', 'q/signed', 5));
    }

    public function testAFormMayBeLargerThanPostMaxSize(): void
    {
        $body = $this->body(['jobs' => json_encode([['id' => '1', 'content' => str_repeat('x', 200000)]])]);
        $reply = $this->request('call', $body, Signature::of($body, self::NEW, time(), 'q/signed'), ['PHP_VALUE' => 'post_max_size=100K']);
        $this->assertSame(200, $reply->code());
    }

    /** @return array{int,string} code and message */
    private function send(string $given, ?string $key, int $shift = 0, array $fields = []): array
    {
        $body = $this->body($fields + ['jobs' => '[{"id":"1","content":"x"}]']);
        $reply = $this->request($given, $body, $key === null ? '' : Signature::of($body, $key, time() + $shift, 'q/signed'));
        return [$reply->code(), $reply->body];
    }

    private function body(array $fields): string
    {
        return http_build_query($fields + ['IS_PEPPER_BUS_REQUEST' => 'true', 'type' => 'data', 'queue' => 'q', 'topic' => 'signed']);
    }

    private function request(string $given, string $body, string $signature, array $params = []): FastCgiReply
    {
        if (self::$fpm === null) {
            $this->markTestSkipped('php-fpm is not installed');
        }
        $params += ['GIVEN' => $given] + ($signature === '' ? [] : [Signature::FIELD => $signature]);
        return FastCgi::request('unix://' . self::$fpm->socket, __DIR__ . '/workers/signed.php', $body, $params);
    }
}

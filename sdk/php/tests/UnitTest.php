<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\BusException;
use Pepper\Bus\Config;
use Pepper\Bus\ConfigException;
use Pepper\Bus\Health;
use Pepper\Bus\InvalidJobException;
use Pepper\Bus\JobId;
use Pepper\Bus\Payload;
use Pepper\Bus\PepperBus;
use Pepper\Bus\Request;
use Pepper\Bus\Response;
use Pepper\Bus\Server;
use PHPUnit\Framework\TestCase;

final class UnitTest extends TestCase
{
    protected function tearDown(): void
    {
        unset($GLOBALS['BUS_CONF']);
        foreach (['instances', 'configured'] as $name) {
            $property = new \ReflectionProperty(PepperBus::class, $name);
            PHP_VERSION_ID < 80100 && $property->setAccessible(true);
            $property->setValue(null, []);
        }
    }

    public function testJobIds(): void
    {
        $tail = '-' . str_repeat('x', 21);
        foreach ([
            '0000000000000000' => '0',
            '0000000100000000' => '4294967296',
            '7fffffffffffffff' => '9223372036854775807',
            '8000000000000000' => '9223372036854775808',
            'ffffffffffffffff' => '18446744073709551615',
        ] as $hex => $decimal) {
            $this->assertSame($decimal, JobId::fromDisque("D-$hex$tail"));
        }
        foreach ([null, true, 5, '', "D-8000000000000000", "D-800000000000000G$tail", "D-8000000000000000{$tail}x", "D-8000000000000000$tail\n"] as $bad) {
            $this->assertNull(JobId::fromDisque($bad));
        }
    }

    public function testPayloads(): void
    {
        foreach ([["\0\xff", "\0\xff"], ['', ''], ['"q"', '"q"'], [['u' => 'ü/é'], '{"u":"ü/é"}'], [5, '5'], [null, 'null'], [true, 'true'], [[], '[]']] as [$data, $bytes]) {
            $this->assertSame($bytes, Payload::encode($data));
        }
        $this->expectException(InvalidJobException::class);
        Payload::encode(['x' => "\xff"]);
    }

    public function testServers(): void
    {
        $server = new Server(['host' => 'unix:/run/pb.sock', 'timeout' => 5]);
        $this->assertSame(['/run/pb.sock', 0, 5.0, 'unix:/run/pb.sock'], [$server->path(), $server->port, $server->readTimeout, (string) $server]);
        $server = new Server(['host' => 'h', 'read_timeout' => '0.5']);
        $this->assertSame([null, 12017, 3.0, 0.5, 'h:12017'], [$server->path(), $server->port, $server->timeout, $server->readTimeout, (string) $server]);
    }

    public function testWrongConfigurations(): void
    {
        foreach ([
            [], ['servers' => []], ['servers' => 'h'], ['servers' => ['h']], ['servers' => [['port' => 1]]],
            ['servers' => [['host' => 'h', 'port' => 70000]]], ['servers' => [['host' => 'h', 'timeout' => 0]]],
            ['servers' => [['host' => 'h']], 'driver' => 'mysql'],
        ] as $conf) {
            try {
                new Config($conf);
                $this->fail('accepted ' . json_encode($conf));
            } catch (ConfigException $e) {
                $this->addToAssertionCount(1);
            }
        }
    }

    /** @case D4 */
    public function testWhatIsWrittenWrongIsNamed(): void
    {
        $server = ['host' => 'h'];
        foreach ([
            '"pasword" ("password"?)' => ['pasword' => 'x', 'servers' => [$server]],
            '"Servers" ("servers"?)' => ['Servers' => [$server]],
            '"zzz"; there are: servers' => ['zzz' => 1, 'servers' => [$server]],
            '"prot" ("port"?)' => ['servers' => [$server + ['prot' => 1]]],
            'one more pair of brackets' => ['servers' => $server],
            '"retry_for" must be a number of seconds' => ['retry_for' => NAN, 'servers' => [$server]],
            '"timeout" must be a number of seconds' => ['servers' => [$server + ['timeout' => '3 s']]],
            'the password of queue "q" must be a string' => ['passwords' => ['q' => []], 'servers' => [$server]],
            '"password" must be a string' => ['password' => null, 'servers' => [$server]] + ['password' => 1.5],
        ] as $message => $conf) {
            $conf = isset($conf['password']) || !array_key_exists('password', $conf) ? $conf : ['password' => 1.5] + $conf;
            try {
                new Config($conf);
                $this->fail("accepted: $message");
            } catch (ConfigException $e) {
                $this->assertStringContainsString($message, $e->getMessage());
            }
        }
        $this->expectException(ConfigException::class);
        $this->expectExceptionMessage('no password for queue "q"');
        (new Config(['servers' => [$server]]))->password('q');
    }

    public function testPasswords(): void
    {
        $config = new Config(['password' => 'all', 'passwords' => ['a' => 'one'], 'servers' => [['host' => 'h']]]);
        $this->assertSame(['one', 'all'], [$config->password('a'), $config->password('b')]);
        $this->assertStringNotContainsString('one', print_r($config, true));
        ob_start();
        var_dump($config, PepperBus::getInstance(['password' => 'all', 'servers' => [['host' => 'h']]]));
        $this->assertStringNotContainsString('all"', (string) ob_get_clean());
    }

    public function testConfigurationInTraces(): void
    {
        ini_set('zend.exception_ignore_args', '0');
        try {
            PepperBus::getInstance(['password' => 'secret', 'servers' => []])->addJob('q', 'x');
            $this->fail('no exception');
        } catch (ConfigException $e) {
            $this->assertStringNotContainsString('secret', print_r($e->getTrace(), true) . $e);
        }
    }

    public function testWhereTheConfigurationComesFrom(): void
    {
        $this->assertFalse(PepperBus::isConfigured());
        $GLOBALS['BUS_CONF'] = ['password' => 'p', 'retry_for' => 0, 'servers' => [['host' => 'unix:/nonexistent/global']], 'second' => ['password' => 'p', 'retry_for' => 0, 'servers' => [['host' => 'unix:/nonexistent/second']]]];
        $this->assertFailsAt('global', PepperBus::getInstance());
        $this->assertFailsAt('second', PepperBus::getInstance('second'));
        PepperBus::configure(['password' => 'p', 'retry_for' => 0, 'servers' => [['host' => 'unix:/nonexistent/configured']]]);
        $this->assertFailsAt('configured', PepperBus::getInstance());
        $this->assertSame(PepperBus::getInstance(), PepperBus::getInstance());
        PepperBus::configure(['password' => 'p', 'retry_for' => 0, 'servers' => [['host' => 'unix:/nonexistent/third']]], 'third');
        $this->assertFailsAt('third', PepperBus::getInstance('third'));
        $this->assertFailsAt('inline', PepperBus::getInstance(['password' => 'p', 'retry_for' => 0, 'servers' => [['host' => 'unix:/nonexistent/inline']]]));
        $this->assertFailsAt('third', \ProcessClient::getInstance('third'));
        $this->assertFailsAt('configured', \ProcessClient::getInstance('x'));
        $this->expectException(ConfigException::class);
        $this->expectExceptionMessage('no Pepperbus configuration "x"');
        PepperBus::getInstance('x')->addJob('q', 'data');
    }

    private function assertFailsAt(string $where, $client): void
    {
        try {
            $client instanceof PepperBus ? $client->addJob('q', 'data') : $client->addTask('q', 'data');
            $this->fail('no exception');
        } catch (BusException $e) {
            $this->assertStringContainsString($where, $e->getMessage());
        }
    }

    public function testAliases(): void
    {
        foreach (['PepperBus', 'ProcessClient', 'PepperBusClient', 'PepperBusServer', 'PepperBusWorker', 'Request', 'Response'] as $name) {
            $this->assertTrue(class_exists($name), $name);
            $this->assertSame("Pepper\\Bus\\$name", (new \ReflectionClass($name))->getName());
        }
    }

    public function testHealth(): void
    {
        $servers = [new Server(['host' => 'a' . uniqid()]), new Server(['host' => 'b']), new Server(['host' => 'c'])];
        $this->assertSame([0, 1, 2], array_keys(Health::order($servers)));
        Health::answered($servers, 1);
        $this->assertSame([1, 0, 2], array_keys(Health::order($servers)));
        $this->assertSame([0], array_keys(Health::order([$servers[0]])));
        Health::answered($servers, 0);
        $this->assertSame([0, 1, 2], array_keys(Health::order($servers)));
    }

    public function testRequestsThroughAWebServerNeedTheHeader(): void
    {
        $post = ['IS_PEPPER_BUS_REQUEST' => 'true', 'type' => 'ping'];
        $this->assertTrue(Request::fromFields($post)->isQueueRequest());
        $this->assertFalse(Request::fromFields($post, ['HTTP_HOST' => 'h'])->isQueueRequest());
        $this->assertTrue(Request::fromFields($post, ['HTTP_HOST' => 'h', 'HTTP_IS_PEPPER_BUS_REQUEST' => 'true'])->isQueueRequest());
        $this->assertFalse(Request::fromFields(['type' => 'ping'], ['HTTP_IS_PEPPER_BUS_REQUEST' => 'true'])->isQueueRequest());
    }

    public function testRequestKeepsWhatTheBrokerSent(): void
    {
        $job = ['id' => '18446744073709551615', 'inTraceId' => 't', 'content' => 'ü', 'retrying' => 1, 'RetryTimes' => 2, 'IsRetry' => true];
        $request = Request::fromFields(['IS_PEPPER_BUS_REQUEST' => 'true', 'type' => 'data', 'queue' => 'q', 'outTraceId' => 'o', 'jobs' => json_encode([$job])]);
        $this->assertSame([$job], $request->getJobs());
        $this->assertSame('q/default', $request->getQueuePath());
        $this->assertSame('o', $request->outTraceId);
    }

    public function testNestedExceptionsAreTold(): void
    {
        $response = Response::ofThrowable(new \LogicException('outer', 0, new \RuntimeException('inner')));
        $this->assertMatchesRegularExpression('~^LogicException: outer in .*UnitTest.php:\d+; caused by RuntimeException: inner in .*~', $response->content);
        $this->assertSame([500, 1], [$response->code, $response->errCode]);
        $this->assertSame(1, Response::ofThrowable(new \PDOException('x'))->errCode);
    }

    public function testRegistrations(): void
    {
        $bus = PepperBus::getInstance()->register('q', 't', 'A', 'run')->register('q', '', 'A', 'run');
        foreach ([['q', 't'], ['q', 'default'], ['', 't'], ['q', 'a,b'], ['q/x', 't']] as [$queue, $topic]) {
            try {
                $bus->register($queue, $topic, 'A', 'run');
                $this->fail("accepted $queue/$topic");
            } catch (ConfigException $e) {
                $this->addToAssertionCount(1);
            }
        }
    }

    /** The sources must stay readable by the oldest PHP that composer.json allows. */
    public function testNoSyntaxNewerThanPhp74(): void
    {
        $newer = array_filter(['T_MATCH', 'T_NULLSAFE_OBJECT_OPERATOR', 'T_ATTRIBUTE', 'T_ENUM', 'T_READONLY'], 'defined');
        $newer = array_map('constant', $newer);
        foreach (glob(__DIR__ . '/../src/*.php') ?: [] as $file) {
            $found = array_filter(token_get_all((string) file_get_contents($file)), static function ($token) use ($newer): bool {
                return is_array($token) && in_array($token[0], $newer, true);
            });
            $this->assertSame([], $found, $file);
        }
    }
}

<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\PepperBus;
use Pepper\Bus\Tests\Support\FakeBroker;
use PHPUnit\Framework\TestCase;

/** The older spellings of adding a job. */
final class ClientTest extends TestCase
{
    protected function tearDown(): void
    {
        unset($GLOBALS['BUS_CONF']);
    }

    public function testFirstSdksClientReturnsTheRawReply(): void
    {
        $refusal = '{"jobs":null,"inTraceId":"1-2-3","error":"queue or Topic not exist msg"}';
        $broker = new FakeBroker(['ok', "text:$refusal"]);
        PepperBus::configure(['password' => 'pw', 'servers' => [$broker->server()]]);
        $this->assertSame('{"jobs":["1"],"inTraceId":"1-2-3","error":""}', \PepperBusClient::getInstance('msg')->addJob('a'));
        $this->assertSame($refusal, \PepperBusClient::getInstance('msg')->addJob('b'));
        $this->assertSame([['LPUSH', 'msg', 'a'], ['LPUSH', 'msg', 'b']], $broker->commands('LPUSH'));
        $this->expectOutputString('');
    }

    public function testProcessClient(): void
    {
        $broker = new FakeBroker();
        PepperBus::configure(['password' => 'pw', 'servers' => [$broker->server()]]);
        $this->assertSame('9223372036854775809', \ProcessClient::getInstance('x')->addTask('msg', ['a' => 1]));
        $this->assertSame('{"a":1}', $broker->commands('ADDJOB')[0][2]);
    }

    /** Needs no network: the package is taken from this folder. */
    public function testInstalledByComposer(): void
    {
        exec('command -v composer', $found, $missing);
        if ($missing) {
            $this->markTestSkipped('composer is not installed');
        }
        $dir = new Support\TempDir();
        $package = $dir->path . '/package';
        mkdir($package);
        symlink(realpath(__DIR__ . '/../src'), "$package/src");
        copy(__DIR__ . '/../composer.json', "$package/composer.json");
        $dir->write('composer.json', (string) json_encode([
            'repositories' => [['type' => 'path', 'url' => $package], ['packagist.org' => false]],
            'require' => ['pepper/bus' => '~1.0'],
        ]));
        $env = ['COMPOSER_HOME' => $dir->path . '/home', 'COMPOSER_ALLOW_SUPERUSER' => '1', 'COMPOSER_DISABLE_NETWORK' => '1', 'COMPOSER_ROOT_VERSION' => 'dev-main'];
        $composer = new Support\Process(['composer', 'install', '--no-interaction', '--no-plugins', "--working-dir=$dir->path"], "$dir->path/out", $env);
        $this->assertSame(0, $composer->wait(60), $composer->output());
        $dir->write('app.php', '<?php require __DIR__ . "/vendor/autoload.php"; $BUS_CONF = ["password" => "p", "retry_for" => 0, "servers" => [["host" => "unix:/nonexistent"]]];
            try { PepperBus::getInstance()->addJob("q", "x"); } catch (Pepper\Bus\ConnectionException $e) { echo get_class($e); }');
        $app = new Support\Process([PHP_BINARY, "$dir->path/app.php"], "$dir->path/app.out");
        $app->wait();
        $this->assertSame('Pepper\Bus\ConnectionException', $app->output());
    }
}

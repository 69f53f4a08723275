<?php

namespace Pepper\Bus\Tests;

use Pepper\Bus\Config;
use Pepper\Bus\Health;
use Pepper\Bus\PredisConnection;
use Pepper\Bus\Producer;
use PHPUnit\Framework\TestCase;

abstract class ProducerTestCase extends TestCase
{
    protected function setUp(): void
    {
        $known = new \ReflectionProperty(Health::class, 'known');
        PHP_VERSION_ID < 80100 && $known->setAccessible(true);
        $known->setValue(null, []);
        $down = new \ReflectionProperty(Health::class, 'down');
        PHP_VERSION_ID < 80100 && $down->setAccessible(true);
        $down->setValue(null, []);
    }

    public static function drivers(): array
    {
        return ['ext-redis' => ['redis'], 'predis' => ['predis']];
    }

    protected function needDriver(string $driver): void
    {
        if ($driver === 'redis' ? !extension_loaded('redis') : !PredisConnection::isAvailable()) {
            $this->markTestSkipped("$driver is not installed");
        }
    }

    protected function producer(string $driver, array $servers, float $retryFor = 0): Producer
    {
        $this->needDriver($driver);
        return new Producer(new Config(['password' => 'pä:ss', 'servers' => $servers, 'driver' => $driver, 'retry_for' => $retryFor]));
    }
}

<?php

require_once __DIR__ . '/../../autoload.php';

use Pepper\Bus\Job;
use Pepper\Bus\PepperBus;

/** How the keys are given is up to the request: tests set GIVEN as a parameter of FastCGI. */
class Signed
{
    public function run(Job $job)
    {
        error_log("Signed::run $job->id");
        return "did $job->content";
    }
}

$bus = PepperBus::getInstance()->register('q', 'signed', 'Signed', 'run');
switch ($_SERVER['GIVEN'] ?? '') {
    case 'call':
        $bus->signedWith(['the old key', 'the new key']);
        break;
    case 'strict':
        $bus->signedWith('the new key', 5);
        break;
    case 'old-form':
        $bus->signedWith('the new key', 300, true);
        break;
    case 'empty':
        $bus->signedWith('');
        break;
    case 'conf':
        $BUS_CONF = ['signing_keys' => 'the new key', 'signing_tolerance' => 60];
        break;
    case 'empty-conf':
        $BUS_CONF = ['signing_keys' => []];
        break;
    case 'first':
        $server = new PepperBusServer();
        $server->register('q/signed', 'Signed', 'run');
        $BUS_CONF = ['signing_keys' => ['the new key']];
        if ($server->parseRequest()->isQueueRequest()) {
            $server->process();
        }
        $server->commit();
        return;
}
$bus->do();

<?php

require __DIR__ . '/../../autoload.php';

class First
{
    public function run(Request $request)
    {
        if ($request->getJobs()[0]['content'] === 'throw') {
            throw new Exception('no luck', 9);
        }
        return 'ok ' . $request->getJobs()[0]['content'];
    }
}

$server = new PepperBusServer();
$server->register('q/first', 'First', 'run');
$server->parseRequest();
if ($server->request->isQueueRequest()) {
    try {
        $server->process();
    } catch (Exception $e) {
        $server->setResponse(500, $e->getCode(), $e->getMessage());
    }
} else {
    $server->setResponse(404, 1, 'not found');
}
$server->commit();

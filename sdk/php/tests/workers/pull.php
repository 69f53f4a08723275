<?php

require __DIR__ . '/../../autoload.php';

class Puller
{
    public function run(Request $request)
    {
        $content = $request->jobs[0]['content'];
        if ($content === 'throw') {
            throw new Exception('no luck');
        }
        echo "{$request->getQueuePath()} ", bin2hex($content), "\n";
    }
}

exit((new PepperBusWorker())->onFailure(function (Request $request, Throwable $e) {
    echo "kept {$request->jobs[0]['id']}\n";
})->run());

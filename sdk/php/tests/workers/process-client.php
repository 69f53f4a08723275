<?php

require __DIR__ . '/../../autoload.php';

class Old
{
    public function run($request)
    {
        return $request->jobs[0]['content'];
    }
}

(new ProcessClient('x'))->addWorker('q', 'old', 'Old', 'run')->do();

<?php

require __DIR__ . '/../../autoload.php';

echo 'noise before do()';

class Noisy
{
    public function run()
    {
        echo 'noise inside';
        return 'message';
    }
}

PepperBus::getInstance()->register('q', 'noisy', 'Noisy', 'run')->do();

echo 'noise after do()';

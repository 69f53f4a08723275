<?php

require __DIR__ . '/../../autoload.php';
require __DIR__ . '/Noting.php';

use Pepper\Bus\PepperBus;

PepperBus::getInstance()
    ->register('one', 'note', 'Noting', 'note')
    ->register('one', 'also', 'Noting', 'note')
    ->register('moody', 'chunk', 'Noting', 'moody')
    ->register('together', 'batch', 'Noting', 'batch')
    ->register('exec', 'resident', 'Noting', 'moody')
    ->register('exec', 'once', 'Noting', 'moody')
    ->register('tight', 'note', 'Noting', 'note')
    ->do();

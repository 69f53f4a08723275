<?php

require __DIR__ . '/../../autoload.php';
require __DIR__ . '/Noting.php';

use Pepper\Bus\PepperBus;

PepperBus::getInstance()
    ->register('signed', 'new', 'Noting', 'note')
    ->register('signed', 'old', 'Noting', 'note')
    ->register('signed', 'wrong', 'Noting', 'note')
    ->register('signed', 'none', 'Noting', 'note')
    ->signedWith(['the old key of these tests', 'the new key of these tests'])
    ->do();

<?php

require __DIR__ . '/../../autoload.php';

PepperBus::getInstance()->register('q', 't', function () {
    return '';
})->do();

throw new Exception('too late to change the outcome');

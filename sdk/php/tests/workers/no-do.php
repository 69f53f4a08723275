<?php

require __DIR__ . '/../../autoload.php';

PepperBus::getInstance()->register('q', 't', 'Anything', 'run');

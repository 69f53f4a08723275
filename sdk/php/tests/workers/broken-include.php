<?php

require __DIR__ . '/../../autoload.php';
require __DIR__ . '/broken.inc';

PepperBus::getInstance()->register('q', 't', 'Anything', 'run')->do();

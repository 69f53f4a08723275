<?php

require __DIR__ . '/../../autoload.php';

PepperBus::getInstance()->register('q', 't', 'A', 'run')->register('q', 't', 'B', 'run')->do();

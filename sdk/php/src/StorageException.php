<?php

namespace Pepper\Bus;

/** The broker could not write the job to (all of) its storage and did not accept it. */
class StorageException extends DoubtException
{
}

<?php

namespace Pepper\Bus;

/** What a worker file has registered for one topic: whether it can be called, and with what. */
final class Handler
{
    /** @var string "queue/topic" */
    private $path;
    /** @var string|object class name, object or closure */
    private $class;
    /** @var string */
    private $function;
    /** @var string where register() was called, "file:line"; "" not known */
    private $place;

    /**
     * @param mixed $class class name, object, closure, or a callable such as [$object, "method"]
     * @throws ConfigException nothing of that kind
     */
    public function __construct(string $path, $class, ?string $function)
    {
        $this->path = $path;
        $this->place = self::place();
        if (is_array($class) && $function === null && count($class) === 2 && isset($class[0], $class[1]) && is_string($class[1])) {
            [$class, $function] = $class;
        } elseif (is_string($class) && $function === null && strpos($class, '::') !== false) {
            [$class, $function] = explode('::', $class, 2);
        } elseif (is_string($class) && $function === null && function_exists($class) && !class_exists($class)) {
            $class = \Closure::fromCallable($class);
        }
        if (!is_object($class) && (!is_string($class) || $class === '')) {
            throw new ConfigException("the handler of $path$this->place must be a class, an object or a callable, and is "
                . (is_string($class) ? 'empty' : gettype($class)));
        }
        $this->class = $class;
        $this->function = $function ?? '__invoke';
    }

    /** Why no job can be handled, for an operator to read; empty: nothing is in the way. Makes no object. */
    public function fault(): string
    {
        $what = "registered for $this->path$this->place";
        try {
            if (is_string($this->class) && !class_exists($this->class)) {
                return "class $this->class, $what, does not exist";
            }
            $class = new \ReflectionClass($this->class);
            if (!is_object($this->class) && !$class->isInstantiable()) {
                return "class $this->class, $what, cannot be made: it is abstract, an interface, or its constructor is not public";
            }
            $constructor = is_object($this->class) ? null : $class->getConstructor();
            if ($constructor !== null && $constructor->getNumberOfRequiredParameters() > 0) {
                return "class $this->class, $what, cannot be made: its constructor needs arguments; register an object instead";
            }
            if ($this->class instanceof \Closure && $this->function === '__invoke') {
                return $this->parameterFault(new \ReflectionFunction($this->class), $what);
            }
            if (!$class->hasMethod($this->function)) {
                return $class->hasMethod('__call') ? '' : "{$class->getName()}::$this->function(), $what, does not exist";
            }
            $method = $class->getMethod($this->function);
            return $method->isPublic() && !$method->isAbstract()
                ? $this->parameterFault($method, $what)
                : "{$class->getName()}::$this->function(), $what, is not public";
        } catch (\Throwable $e) {
            return "the class $what cannot be loaded: " . Response::ofThrowable($e)->content;
        }
    }

    /**
     * @param mixed $kept gets the object, which must outlive the verdict
     * @throws \Throwable what the constructor throws
     */
    public function callable(&$kept): callable
    {
        // A new object for every job, so that none finds what another left behind.
        $kept = is_string($this->class) ? new $this->class() : $this->class;
        return [$kept, $this->function];
    }

    /** Job::class, Batch::class or Request::class: what the first parameter asks for. */
    public function takes(): string
    {
        $parameter = $this->parameter();
        return ($parameter === null ? null : self::known($parameter->getType())) ?? Request::class;
    }

    /** The one of our classes that a type, or a part of a union, lets in. */
    private static function known(?\ReflectionType $type): ?string
    {
        foreach (self::named($type) as $named) {
            // Makes a global alias such as Request known: PHP does not load classes for a type check.
            if ($named->isBuiltin() || !(class_exists($named->getName()) || interface_exists($named->getName()))) {
                continue;
            }
            foreach ([Batch::class, Job::class, Request::class] as $known) {
                if (is_a($known, $named->getName(), true)) {
                    return $known;
                }
            }
        }
        return null;
    }

    private function parameter(): ?\ReflectionParameter
    {
        if (!method_exists($this->class, $this->function)) {
            return null; // __call
        }
        $parameters = (new \ReflectionMethod($this->class, $this->function))->getParameters();
        return $parameters[0] ?? null;
    }

    private function parameterFault(\ReflectionFunctionAbstract $function, string $what): string
    {
        if ($function->getNumberOfRequiredParameters() > 1) {
            return "the handler $what, needs {$function->getNumberOfRequiredParameters()} arguments, and gets one: a Job, a Batch or a Request";
        }
        $parameter = $function->getParameters()[0] ?? null;
        $type = $parameter === null ? null : $parameter->getType();
        if ($type === null || $parameter->isVariadic()) {
            return '';
        }
        if (self::known($type) !== null) {
            return '';
        }
        foreach (self::named($type) as $named) {
            if (in_array($named->getName(), ['mixed', 'object'], true)) {
                return '';
            }
        }
        // PHP 7.4 gives a notice where a type itself is made a text.
        $shown = $type instanceof \ReflectionNamedType ? ($type->allowsNull() ? '?' : '') . $type->getName() : (string) $type;
        return "the handler $what, takes $shown as its first argument, and gets a Job, a Batch or a Request";
    }

    /** @return \ReflectionNamedType[] */
    private static function named(?\ReflectionType $type): array
    {
        if ($type instanceof \ReflectionNamedType) {
            return [$type];
        }
        // ReflectionUnionType exists since PHP 8.0.
        $parts = $type !== null && method_exists($type, 'getTypes') ? $type->getTypes() : [];
        return array_filter($parts, static function ($part): bool {
            return $part instanceof \ReflectionNamedType;
        });
    }

    /** Where the application called register(), for messages: " (file:line)". */
    private static function place(): string
    {
        foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS, 12) as $frame) {
            if (isset($frame['file']) && strpos($frame['file'], __DIR__ . \DIRECTORY_SEPARATOR) !== 0) {
                return " ({$frame['file']}:{$frame['line']})";
            }
        }
        return '';
    }
}

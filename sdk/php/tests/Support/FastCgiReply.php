<?php

namespace Pepper\Bus\Tests\Support;

final class FastCgiReply
{
    /** @var array<string,string> by lower-case name */
    public $headers = [];
    /** @var string */
    public $body = '';
    /** @var string */
    public $stderr;

    public function __construct(string $stdout, string $stderr)
    {
        [$head, $this->body] = explode("\r\n\r\n", $stdout, 2) + ['', ''];
        foreach (explode("\r\n", $head) as $line) {
            [$name, $value] = explode(':', $line, 2) + ['', ''];
            $this->headers[strtolower($name)] = trim($value);
        }
        $this->stderr = $stderr;
    }

    /** The verdict; 0 when there is none. */
    public function code(): int
    {
        return (int) ($this->headers['code'] ?? 0);
    }
}

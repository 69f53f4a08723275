<?php

namespace Pepper\Bus\Tests\Support;

/** A directory that goes away with the object. Short, because socket paths are limited. */
final class TempDir
{
    /** @var string */
    public $path;

    public function __construct()
    {
        $this->path = sys_get_temp_dir() . '/pb' . bin2hex(random_bytes(5));
        mkdir($this->path, 0755);
    }

    public function write(string $name, string $content): string
    {
        file_put_contents("$this->path/$name", $content);
        return "$this->path/$name";
    }

    public function __destruct()
    {
        self::remove($this->path);
    }

    private static function remove(string $path): void
    {
        if (is_dir($path) && !is_link($path)) {
            foreach (array_diff(scandir($path) ?: [], ['.', '..']) as $name) {
                self::remove("$path/$name");
            }
            @rmdir($path);
        } else {
            @unlink($path);
        }
    }
}

<?php

namespace Pepper\Bus\Tests\Support;

/** A private php-fpm on a unix socket. */
final class Fpm
{
    /** @var string */
    public $socket;
    /** @var TempDir */
    private $dir;
    /** @var Process */
    private $process;

    public function __construct(string $binary, int $children = 2)
    {
        $this->dir = new TempDir();
        $this->socket = $this->dir->path . '/fpm.sock';
        $root = function_exists('posix_geteuid') && posix_geteuid() === 0;
        $conf = $this->dir->write('fpm.conf', implode("\n", [
            '[global]',
            'daemonize = no',
            "error_log = {$this->dir->path}/fpm.log",
            '[www]',
            $root ? "user = root\ngroup = root" : '',
            "listen = $this->socket",
            'pm = static',
            "pm.max_children = $children",
            'clear_env = no',
            'php_value[memory_limit] = 32M',
            'php_value[error_log] =',
            'php_value[log_errors] = 1',
            'php_admin_value[opcache.revalidate_freq] = 0',
            '',
        ]));
        $command = [$binary, '--nodaemonize', '--fpm-config', $conf];
        if ($root) {
            $command[] = '--allow-to-run-as-root';
        }
        $this->process = new Process($command, $this->dir->path . '/out');
        $this->process->waitUntil(function (): bool {
            return @stream_socket_client("unix://$this->socket") !== false;
        }, 'php-fpm listening');
    }

    /** Path of a php-fpm, or null. */
    public static function find(): ?string
    {
        $found = [];
        foreach (array_merge(explode(':', (string) getenv('PATH')), ['/usr/sbin', '/usr/local/sbin']) as $dir) {
            $found = array_merge($found, glob("$dir/php-fpm*") ?: []);
        }
        $found = array_values(array_filter($found, 'is_executable'));
        $own = array_values(preg_grep('/php-fpm' . PHP_MAJOR_VERSION . '\.' . PHP_MINOR_VERSION . '$/', $found) ?: []);
        return $own[0] ?? $found[0] ?? null;
    }

    /** The form a broker posts, and what it would read. */
    public function request(string $script, array $fields, array $params = []): FastCgiReply
    {
        return FastCgi::request("unix://$this->socket", $script, http_build_query($fields), $params);
    }
}

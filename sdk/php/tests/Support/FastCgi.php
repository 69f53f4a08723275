<?php

namespace Pepper\Bus\Tests\Support;

/** The least FastCGI client: one responder request on a connection of its own. */
final class FastCgi
{
    private const BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, STDERR = 7;

    public static function request(string $address, string $script, string $body, array $params = []): FastCgiReply
    {
        $socket = stream_socket_client($address, $errno, $error, 5);
        if ($socket === false) {
            throw new \RuntimeException("$address: $error");
        }
        stream_set_timeout($socket, 30);
        $params += [
            'SCRIPT_FILENAME' => $script,
            'SCRIPT_NAME' => $script,
            'REQUEST_METHOD' => 'POST',
            'CONTENT_TYPE' => 'application/x-www-form-urlencoded',
            'CONTENT_LENGTH' => (string) strlen($body),
            'GATEWAY_INTERFACE' => 'CGI/1.1',
            'SERVER_PROTOCOL' => 'HTTP/1.1',
            'SERVER_SOFTWARE' => 'pepperbus',
        ];
        $pairs = '';
        foreach ($params as $name => $value) {
            $pairs .= self::length($name) . self::length($value) . $name . $value;
        }
        $out = self::record(self::BEGIN, pack('nCx5', 1, 0)) . self::record(self::PARAMS, $pairs) . self::record(self::PARAMS, '');
        foreach (str_split($body, 65000) as $part) {
            $out .= $part === '' ? '' : self::record(self::STDIN, $part);
        }
        $out .= self::record(self::STDIN, '');
        for ($at = 0; $at < strlen($out); $at += $n) {
            $n = (int) @fwrite($socket, substr($out, $at, 65536));
            if ($n === 0) {
                throw new \RuntimeException('php-fpm closed while the request was written');
            }
        }
        $text = [self::STDOUT => '', self::STDERR => ''];
        while (strlen($head = (string) stream_get_contents($socket, 8)) === 8) {
            $record = unpack('Cversion/Ctype/nid/nlength/Cpadding', $head);
            $content = $record['length'] ? (string) stream_get_contents($socket, $record['length']) : '';
            $record['padding'] && stream_get_contents($socket, $record['padding']);
            if ($record['type'] === self::END) {
                fclose($socket);
                return new FastCgiReply($text[self::STDOUT], $text[self::STDERR]);
            }
            $text[$record['type']] .= $content;
        }
        throw new \RuntimeException('php-fpm ended the connection without END_REQUEST');
    }

    private static function record(int $type, string $content): string
    {
        return pack('CCnnCC', 1, $type, 1, strlen($content), 0, 0) . $content;
    }

    private static function length(string $text): string
    {
        return strlen($text) < 128 ? chr(strlen($text)) : pack('N', strlen($text) | 0x80000000);
    }
}

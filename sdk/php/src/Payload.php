<?php

namespace Pepper\Bus;

/** What an application hands over as a job, as the bytes that are sent. */
final class Payload
{
    /**
     * Strings are sent byte for byte, everything else as JSON.
     *
     * @param mixed $data
     * @throws InvalidJobException
     */
    public static function encode($data): string
    {
        if (is_string($data)) {
            return $data;
        }
        $json = json_encode($data, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
        if ($json === false) {
            throw new InvalidJobException('the job cannot be written as JSON: ' . json_last_error_msg()
                . '; binary data goes as a plain string, or base64 inside an array');
        }
        return $json;
    }
}

<?php
/* What a worker without the SDK has to know: the form's fields in, three headers out. */
function ping(string ...$topics): void
{
    if (($_POST['type'] ?? '') === 'ping') {
        header('Code: 200');
        header('Consume-Topics: ' . implode(',', $topics));
        exit;
    }
}

function jobs(): array
{
    return json_decode($_POST['jobs'], true);
}

function reply(int $code, string $message = ''): void
{
    header("Code: $code");
    echo $message;
}

/* One line in one write, so that lines of several children do not mix. */
function note(string $file, string $line): void
{
    $f = fopen(getenv('T') . "/$file", 'a');
    fwrite($f, "$line\n");
    fclose($f);
}

<?php
/* The worker of both topics. What it has handled goes to $T/handled.TOPIC in one write, just
 * before the answer: "id ms content", a line a job. Jobs marked "!" fail until one failed attempt
 * stands to their account. */
require __DIR__ . '/../workers/reply.php';
ping('ledger/one', 'ledger/two');

$lines = '';
$refused = '';
$outcomes = [];
$failed = 0;
usleep(mt_rand(0, 6000));
$ms = (int) (microtime(true) * 1000);
foreach (jobs() as $job) {
    $content = strstr($job['content'], '/', true);
    $again = substr($content, -1) === '!' && $job['retrying'] == 0;
    if ($again) {
        $refused .= "$job[id] $ms $content\n";
        $failed++;
    } else {
        $lines .= "$job[id] $ms $content\n";
    }
    $outcomes[] = ['id' => $job['id'], 'code' => $again ? 500 : 200, 'msg' => $again ? 'the first time it fails' : ''];
}
$t = getenv('T');
if ($lines !== '') {
    file_put_contents("$t/handled.$_POST[topic]", $lines, FILE_APPEND);
}
if ($refused !== '') {
    file_put_contents("$t/refused.$_POST[topic]", $refused, FILE_APPEND);
}
if (count($outcomes) === 1) {
    reply($failed ? 500 : 200, $failed ? 'the first time it fails' : '');
} else {
    header('Code: 207');
    echo json_encode($outcomes);
}

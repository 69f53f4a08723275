<?php
/* Answers 207: jobs with content "bad" fail, "silent" is not named at all. PHP's own words about
 * $undefined stand before the list. */
require __DIR__ . '/reply.php';
ping('q/chunk');
note('chunks', (string) count(jobs()));
$out = [];
foreach (jobs() as $job) {
    note('chunked', "$job[id] $job[content] $job[RetryTimes]");
    if ($job['content'] !== 'silent') {
        $out[] = ['id' => $job['id'], 'code' => $job['content'] === 'bad' ? 500 : 200, 'msg' => "about $job[content]"];
    }
}
header('Code: 207');
echo $undefined;
echo json_encode($out);

<?php
/* Ends in the way that the job's content names. */
require __DIR__ . '/reply.php';
ping('q/dies');
foreach (jobs() as $job) {
    note('deaths', "$job[id] $job[content] $job[RetryTimes] $job[retrying]");
    switch ($job['content']) {
        case 'fatal':
            undefined_function_of_this_worker();
            break;
        case 'exit':
            exit(3);
        case 'kill':
            exec('kill -9 ' . getmypid());
            usleep(500000);
            break;
        case 'half': // of an answer that says success
            header('Code: 200');
            echo str_repeat('half ', 4000);
            while (ob_get_level()) ob_end_flush();
            flush();
            exec('kill -9 ' . getmypid());
            usleep(500000);
            break;
        case 'memory':
            ini_set('memory_limit', '8M');
            $x = str_repeat('x', 64 << 20);
            break;
        case 'noise':
            echo "Notice: something before the headers\n";
            trigger_error('a notice of the worker', E_USER_NOTICE);
            header('Code: 200');
            exit;
        case 'stderr':
            fwrite(fopen('php://stderr', 'w'), "words on stderr\n");
            reply(500, 'see stderr');
            exit;
    }
}
reply(200);

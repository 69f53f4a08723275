<?php
/* PHP notices in the body of a ping: the list of topics stands in the header only behind them. */
require __DIR__ . '/reply.php';
echo "PHP Notice:  Undefined index: x in /srv/app/x.php on line 3\n";
if ($_POST['type'] === 'ping') {
    header('Code: 200');
    echo "q/noise\n";
    exit;
}
note('handled.q.noise', implode("\n", array_column(jobs(), 'id')));
reply(200, 'fine');

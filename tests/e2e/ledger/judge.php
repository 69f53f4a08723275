<?php
/* Compares what producers were told with what workers did, for one topic:
 *
 *   judge.php T TOPIC SLACK_MS   with $T/acknowledged.*, $T/handled.TOPIC, $T/dead.TOPIC (ids),
 *                                $T/events ("from until kind", ms) and $T/stalls ("from until", ms)
 *
 * Prints notes, then one line for the script: "acknowledged lost dead mixed twice unexplained". A
 * handling that was not the last is explained when it ended just before or just after a death of
 * the broker or of its worker: its outcome may be lost then. Nothing else may cause one. Time in which
 * the machine stood still is no time. */

[, $t, $topic, $slack] = $argv;

function lines(string $path): iterable
{
    $f = @fopen($path, 'r');
    while ($f && ($line = fgets($f)) !== false) {
        yield explode(' ', rtrim($line, "\n"));
    }
}

$acknowledged = [];
$mixed = 0; /* an id given twice, or handled with another content than it was given for */
foreach (glob("$t/acknowledged.*") as $path) {
    foreach (lines($path) as $row) {
        [$id, $content] = $row;
        if (isset($acknowledged[$id])) {
            echo "# id $id was given to {$acknowledged[$id][0]} and to $content\n";
            $mixed++;
        }
        $acknowledged[$id] = [$content, (int) $row[2]];
    }
}

$handled = [];
$contents = [];
$total = 0;
foreach (lines("$t/handled.$topic") as $row) {
    [$id, $ms, $content] = $row;
    $total++;
    $handled[$id][] = (int) $ms;
    if (isset($acknowledged[$id]) && $acknowledged[$id][0] !== $content) {
        echo "# id $id was handled as $content, added as {$acknowledged[$id][0]}\n";
        $mixed++;
    }
    if (($contents[$content] ?? $id) !== $id) {
        echo "# $content was added once, and handled as {$contents[$content]} and as $id\n";
        $mixed++;
    }
    $contents[$content] = $id;
}

$dead = [];
foreach (lines("$t/dead.$topic") as [$id]) {
    $dead[$id] = true;
}
$lost = 0;
$told = 0;
foreach ($acknowledged as $id => [$content, $at]) {
    if (isset($handled[$id])) {
        continue;
    }
    if (isset($dead[$id])) {
        continue;
    }
    $lost++;
    if ($told++ < 20) {
        echo "# LOST: $id $content, acknowledged at $at\n";
    }
}

$events = [];
$also = [];
foreach (lines("$t/events") as [$from, $until, $kind]) {
    if (strncmp($kind, 'also:', 5) === 0) {
        $also[] = [(int) $from, (int) $until, substr($kind, 5)];
    } else {
        $events[] = [(int) $from, (int) $until, $kind];
    }
}
foreach ($events as &$event) {
    $before = $slack;
    foreach ($also as [$from, $until, $kind]) {
        /* A Redis that is just back has much to catch up with: outcomes wait longer. */
        if (strncmp($kind, 'redis', 5) === 0 && $event[1] >= $from && $event[0] <= $until + 2000) {
            $before = 3 * $slack;
        }
    }
    $event[3] = $before;
}
unset($event);
sort($events);
$covered = 0;
$end = 0;
foreach ($events as [$from, $until, , $before]) {
    $covered += max(0, $until + $slack - max($from - $before, $end));
    $end = max($end, $until + $slack);
}
$stalls = [];
$stalled = 0;
foreach (lines("$t/stalls") as [$from, $until]) {
    $stalls[] = [(int) $from, (int) $until];
    $stalled += $until - $from;
}
/* Of the time from one to the other, what the machine had for its work. */
$worked = function (int $from, int $until) use ($stalls): int {
    $ms = max(0, $until - $from);
    foreach ($stalls as [$a, $b]) {
        $ms -= max(0, min($b, $until) - max($a, $from));
    }
    return $ms;
};

$twice = 0;
$unexplained = 0;
$by = [];
foreach ($handled as $id => $times) {
    if (count($times) === 1) {
        continue;
    }
    sort($times);
    $twice++;
    for ($i = 0; $i + 1 < count($times); $i++) {
        $why = null;
        foreach ($events as [$from, $until, $kind, $before]) {
            if ($worked($times[$i], $from) <= $before && $worked($until, $times[$i]) <= $slack) {
                $why = $kind;
                break;
            }
        }
        $by[$why ?? 'UNEXPLAINED'] = ($by[$why ?? 'UNEXPLAINED'] ?? 0) + 1;
        if ($why === null) {
            $unexplained++;
            echo "# UNEXPLAINED: $id handled at " . implode(' ', $times);
            foreach ($also as [$from, $until, $kind]) {
                if ($times[$i] >= $from - $slack && $times[$i] <= $until + $slack) {
                    echo " ($kind $from to $until)";
                }
            }
            echo "\n";
        } elseif (getenv('LEDGER_LIST')) {
            echo "# twice: $id at " . implode(' ', $times) . " ($why)\n";
        }
    }
}
arsort($by);
$unasked = count(array_diff_key($handled, $acknowledged));
echo "# $topic: " . count($acknowledged) . ' acknowledged, ' . count($handled) . " handled in $total attempts"
    . ", $unasked of them never acknowledged, " . count($dead) . " dead, $lost lost, $twice more than once\n";
foreach ($by as $kind => $n) {
    echo "#   handled again after $kind: $n\n";
}
if ($events) {
    $span = $end - $events[0][0] + $events[0][3];
    echo '#   ' . count($events) . ' deaths, around which lies ' . round(100 * $covered / max(1, $span)) . " % of the time\n";
    echo "#   the machine stood still for $stalled ms\n";
}
echo count($acknowledged), " $lost ", count($dead), " $mixed $twice $unexplained\n";

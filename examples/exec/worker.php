<?php // A resident worker: a line of JSON comes in, a line of JSON goes out. See doc/exec.md.
//    entry = php /srv/app/worker.php       resident = yes
while (($line = fgets(STDIN)) !== false) {
    $request = json_decode($line, true);
    $jobs = [];
    foreach ($request["jobs"] ?? [] as $job) {
        $ok = $job["content"] !== "";
        $jobs[] = ["id" => $job["id"], "code" => $ok ? 200 : 500, "msg" => $ok ? "done" : "empty"];
    }
    echo json_encode($jobs ? ["code" => 207, "jobs" => $jobs] : ["code" => 200]), "\n";
}

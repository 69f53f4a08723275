#!/usr/bin/env bash
# doc/plugin-guide.md is walked literally, against an installed tree: its files are written, its
# commands are run one block after the other, and what it shows is what comes. Only the ports are
# others, since somebody may have the usual ones.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server curl
install_tree
guide=$ROOT/doc/plugin-guide.md

# Its blocks, in order, as $T/blocks/NN.KIND; of a file ("```c hello.c") the kind is file.NAME.
mkdir "$T/blocks" "$T/walk"
awk -v dir="$T/blocks" '
  /^```[a-z]/ && !out {
    kind = substr($1, 4); if (NF > 1) kind = "file." $2
    out = sprintf("%s/%02d.%s", dir, ++n, kind); printf "" > out; next
  }
  /^```$/ { close(out); out = ""; next }
  out { print > out }' "$guide"
is "$(find "$T/blocks" -name '*.file.*' | wc -l)" 2 "a source file and a configuration"

# Lines of $1 are those of $2, where "..." stands for anything, and a line of it alone for any lines.
shown() {
  python3 - "$1" "$2" <<'PY'
import re, sys
want, got = open(sys.argv[1]).read().strip().splitlines(), open(sys.argv[2]).read().strip()
pattern = "\n".join("(?s:.*)" if w == "..." else ".*".join(re.escape(p) for p in w.rstrip().split("..."))
                    + " *" for w in want)
sys.exit(not re.fullmatch(pattern, got))
PY
}
# The blocks of one walk share a shell's folder and jobs, as a reader's do.
cat >"$T/step" <<'SH'
cd "$T/walk/hello" 2>/dev/null || cd "$T/walk"
set -euo pipefail
. "$1"
SH
run() { bash "$T/step" "$1" </dev/null >"$T/step.out" 2>"$T/step.err"; }
run_and_show() { run "$1" && shown "$2" "$T/step.out"; }
export T

blocks=("$T"/blocks/*)
for ((i = 0; i < ${#blocks[@]}; i++)); do
  block=${blocks[i]} name=${blocks[i]##*/}
  case $name in
  *.file.*)
    file=$T/walk/hello/${name#*.file.}
    cp "$block" "$file"
    [[ $file != *.ini ]] ||
      sed -i "s|^\[server\]|&\nlisten = 127.0.0.1:$(free_port)\nadmin = 127.0.0.1:$(free_port)|" "$file"
    ;;
  *.sh)
    title=$(head -n 1 "$block" | cut -c1-70)
    next=${blocks[i + 1]:-}
    if [[ $next == *.text ]]; then # what only looks may be asked again until the broker is up
      ok "$title, as shown" wait_until 20 run_and_show "$block" "$next"
      if ((TAP_FAILED)); then sed 's/^/#   /' "$T/step.out" "$T/step.err"; fi
      i=$((i + 1))
    else
      ok "$title" run "$block"
      if ((TAP_FAILED)); then sed 's/^/#   /' "$T/step.out" "$T/step.err"; fi
    fi
    ;;
  esac
done
ok "the broker of the guide has ended" wait_until 20 gone "$(cat "$T/walk/hello/bus.pid")"
done_testing

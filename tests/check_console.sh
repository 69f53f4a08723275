#!/usr/bin/env bash
# The console's own unit tests, run where scripts/build-console has put its tools. TAP.
set -euo pipefail
app=${PEPPERBUS_CONSOLE_WORK:-$top_srcdir/build/console}/app
if [[ ! -x $app/node_modules/.bin/vitest ]]; then
  echo "1..0 # SKIP the console was not built here"
  exit 77
fi
node=$app/../node/node_modules/node/bin
[[ ! -d $node ]] || PATH=$node:$PATH
work=$(mktemp -d "$app/check.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -R "$top_srcdir/console/src" "$top_srcdir/console/tests" "$top_srcdir/console/vite.config.ts" "$top_srcdir/console/tsconfig.json" "$work/"
cd "$work"
../node_modules/.bin/vitest run --no-file-parallelism --reporter=tap-flat

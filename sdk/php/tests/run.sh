#!/bin/sh
# Runs the SDK's tests; arguments go to phpunit (for example --filter WorkerTest).
# PEPPERBUSD and PEPPERBUS_PLUGIN_DIR say where a built broker is, when not in this source tree.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ -x "$here/../vendor/bin/phpunit" ]; then
    phpunit=$here/../vendor/bin/phpunit
elif ! phpunit=$(command -v phpunit); then
    echo "sdk/php/tests: phpunit 9.6 is not installed (Debian: apt-get install phpunit)" >&2
    exit 77
fi
exec "$phpunit" -c "$here/phpunit.xml" --do-not-cache-result "$@"

#!/bin/sh
# Makes ./configure from configure.ac. Needed after a clone, not from a release archive.
set -eu
cd "$(dirname "$0")"
for tool in autoreconf automake libtoolize pkg-config; do
  command -v "$tool" >/dev/null 2>&1 || {
    echo "autogen.sh: $tool is missing; scripts/install-deps build installs what a build needs" >&2
    exit 1
  }
done
mkdir -p m4
exec autoreconf --force --install

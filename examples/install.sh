#!/bin/sh
# Fetches what the examples in Python and Node need into the user's cache directory, by the hashes of their lock files.
# From there the tests install it without a network. Does nothing where it is there for this Python.
set -eu
here=$(dirname "$0")
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tcp-ingestion-tools
mark=$tools/examples-$({ python3 --version && cat "$here"/*/requirements.txt "$here"/*/package-lock.json; } |
	sha256sum | cut -c 1-16)
if [ -e "$mark" ]; then
	exit 0
fi
for list in "$here"/*/requirements.txt; do
	python3 -m pip download --quiet --disable-pip-version-check --require-hashes --requirement "$list" \
		--dest "$tools/wheels"
done
for list in "$here"/*/package-lock.json; do
	packages=$(mktemp -d)
	cp "$(dirname "$list")"/package*.json "$packages"
	(cd "$packages" && npm ci --silent --cache "$tools/npm")
	rm -rf "$packages"
done
touch "$mark"

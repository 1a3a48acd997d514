#!/bin/sh
# Puts a Debian of nothing but its essential packages into the user's cache directory, as a tar file, for the test of
# the packages. Does nothing where it is there.
set -eu
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tcp-ingestion-tools
root=$tools/debian-root-bookworm.tar
if [ -e "$root" ]; then
	exit 0
fi
command -v mmdebstrap >/dev/null || { apt-get update && apt-get install -y --no-install-recommends mmdebstrap; }
mkdir -p "$tools"
trap 'rm -f "$root.new.tar"' EXIT
# passwd is on every Debian, though it is only "required".
mmdebstrap --quiet --variant=essential --include=passwd bookworm "$root.new.tar"
mv "$root.new.tar" "$root"

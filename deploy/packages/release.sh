#!/usr/bin/env bash
# Builds what a version is released as, in dist/: archives of the program for each platform, packages for Debian and
# Red Hat, the list of what is in it, release notes and checksums. `make release VERSION=v1.2.3` runs it at the root of
# the repository. The same commit gives the same bytes with the same Go, wherever it is.
#
#   PLATFORMS          the platforms, by Go's names
#   COMMIT             the commit, for a tree without git, with
#   SOURCE_DATE_EPOCH  its time in seconds since 1970, which all files get
#   SBOM=no            leaves the list out, which takes a tool that is large to build
#   RELEASE_KEY        a private key of OpenSSH, without a passphrase, that signs the checksums
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
fail() { echo "release: $*" >&2; exit 1; }

tag=${VERSION-}
[[ $tag =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-rc\.[0-9]+)?$ ]] ||
	fail "VERSION is '$tag', and must be a tag's name like v1.2.3 or v1.2.3-rc.1"
version=${tag#v}
if [[ -z ${COMMIT-} ]]; then
	git diff --quiet HEAD || fail "the files differ from the commit: commit them first"
	COMMIT=$(git rev-parse HEAD)
fi
export COMMIT VERSION SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH-$(git log -1 --format=%ct)}
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tcp-ingestion-tools
host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
here=$PWD/deploy/packages
dist=$PWD/dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$dist"
mkdir -p "$dist" "$work/docs/completions"

# notes prints the version's section of the changelog; a candidate without one of its own has what is unreleased.
notes() {
	awk -v version="$1" '/^## / { on = $2 == version || $2 == "[" version "]"; next } on' CHANGELOG.md
}
notes "$version" >"$dist/RELEASE_NOTES.md"
if [[ $version == *-* && ! -s $dist/RELEASE_NOTES.md ]]; then
	notes Unreleased >"$dist/RELEASE_NOTES.md"
fi
[[ -s $dist/RELEASE_NOTES.md ]] || fail "CHANGELOG.md has no section '## $version'"

# licences prints those of what is linked into the program, which ask to go with it.
licences() {
	cat "$(go env GOROOT)/LICENSE"
	GOOS=linux go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}} {{.Dir}}{{end}}{{end}}' \
		./cmd/tcp-ingestion | sort -u | while read -r module directory; do
		printf '\n==== %s\n\n' "$module"
		find "$directory" -maxdepth 1 -type f \( -iname 'LICEN[CS]E*' -o -iname 'COPYING*' -o -iname 'NOTICE*' \) |
			sort | xargs -r -d '\n' cat
	done
}

# program builds the program for a platform, if it is not this one's, which runs here and is there already.
program() { # OS/ARCHITECTURE FILE
	if [[ $1 == "$host" && -e $work/here ]]; then
		cp "$work/here" "$2"
		return
	fi
	CGO_ENABLED=0 GOOS=${1%/*} GOARCH=${1#*/} make --no-print-directory build BINARY="$2" >&2
}

documents() {
	program "$host" "$work/here"
	"$work/here" man >"$work/docs/tcp-ingestion.1"
	for shell in bash zsh fish; do
		"$work/here" completion "$shell" >"$work/docs/completions/$shell"
	done
	licences >"$work/docs/THIRD-PARTY-LICENSES"
	cp README.md CHANGELOG.md LICENSE "$work/docs"
}

archive() { # OS ARCHITECTURE BINARY
	local name=tcp-ingestion_${version}_$1_$2
	cp -r "$work/docs" "$work/$name"
	cp "$3" "$work/$name/"
	dated "$work/$name"
	if [[ $1 == windows ]]; then
		(cd "$work" && find "$name" | sort | zip -q -X -@ "$dist/$name.zip")
	else
		tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -c "$name" | gzip -9n >"$dist/$name.tar.gz"
	fi
	rm -r "${work:?}/$name"
}

dated() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# packages makes those of one architecture, from files that stand where deploy/packages/nfpm.yaml looks for them.
packages() { # ARCHITECTURE BINARY
	local stage=$work/stage
	rm -rf "$stage"
	mkdir "$stage"
	cp -r "$here/." "$work/docs" "$stage"
	install -m 755 "$2" "$stage/tcp-ingestion"
	install -m 600 deploy/systemd/tcp-ingestion.env.example "$stage/tcp-ingestion.env"
	for unit in deploy/systemd/*.service deploy/systemd/*.socket; do # without the comment that says where they belong
		sed -e '1{/^# \/etc\/systemd/d}' -e 's|/usr/local/bin/|/usr/bin/|' "$unit" >"$stage/${unit##*/}"
	done
	printf 'tcp-ingestion (%s) stable; urgency=medium\n\n  * CHANGELOG.md says what is new.\n\n -- %s  %s\n' \
		"${version/-/\~}" 'TRM <trm@git.dev.trmtracking.org>' "$(date -R -d "@$SOURCE_DATE_EPOCH")" >"$stage/changelog"
	gzip -9n "$stage/changelog" "$stage/docs/CHANGELOG.md" "$stage/docs/THIRD-PARTY-LICENSES" \
		"$stage/docs/tcp-ingestion.1"
	dated "$stage"
	for packager in deb rpm; do
		(cd "$stage" && ARCH=$1 "$tools/$NFPM" package --config nfpm.yaml --packager $packager --target "$dist/" >/dev/null)
	done
}

documents
for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}; do
	binary=$work/tcp-ingestion
	[[ $platform != windows/* ]] || binary+=.exe
	program "$platform" "$binary"
	archive "${platform%/*}" "${platform#*/}" "$binary"
	if [[ $platform == linux/* ]]; then
		packages "${platform#*/}" "$binary"
	fi
	if [[ ${SBOM-} != no && $platform == linux/amd64 ]]; then
		"$tools/$CYCLONEDX" bin -json -noserial -notimestamp -licenses -std -version "$tag" \
			-output "$dist/tcp-ingestion_$version.cdx.json" "$binary" 2>/dev/null
	fi
	rm "$binary"
done

cd "$dist"
sha256sum -- * >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" .
if [[ -n ${RELEASE_KEY-} ]]; then
	(umask 077 && printf '%s\n' "$RELEASE_KEY" >"$work/key")
	ssh-keygen -q -Y sign -f "$work/key" -n file SHA256SUMS
else
	echo "release: not signed: RELEASE_KEY is not set" >&2
fi
ls -1 "$dist"

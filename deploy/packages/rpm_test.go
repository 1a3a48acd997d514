//go:build linux

package packages

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// rpm is this machine's package.
func rpm(t *testing.T, dist string) string {
	t.Helper()
	architecture := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	found, _ := filepath.Glob(filepath.Join(dist, "*."+architecture+".rpm"))
	if len(found) != 1 {
		t.Fatalf("packages for %s: %v", architecture, found)
	}
	return found[0]
}

// lookIntoRPM compares what the package for Red Hat has with the one for Debian.
func lookIntoRPM(t *testing.T, dist string) {
	file := rpm(t, dist)
	if out, err := exec.Command("rpm", "--checksig", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	listed, err := exec.Command("rpm", "-qp", "--queryformat",
		`[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEFLAGS:fflags} %{FILEDIGESTS}\n]`, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := exec.Command("sh", "-c", fmt.Sprintf("dpkg-deb --fsys-tarfile %s | "+
		"tar -xO ./usr/bin/tcp-ingestion | sha256sum", filepath.Join(dist, deb("1.0.0")))).Output()
	if err != nil {
		t.Fatal(err)
	}
	digest, _, _ := bytes.Cut(binary, []byte(" "))
	for _, want := range []string{
		`/etc/tcp-ingestion/tcp-ingestion\.env 100600 root cn `, // a setting, and not replaced
		`/usr/bin/tcp-ingestion 100755 root  ` + string(digest),
		`/usr/lib/systemd/system/tcp-ingestion\.service 100644 root `,
		`/usr/share/man/man1/tcp-ingestion\.1\.gz 100644 root `,
		`/usr/share/licenses/tcp-ingestion/LICENSE 100644 root l `,
	} {
		if !regexp.MustCompile("(?m)^" + want).Match(listed) {
			t.Errorf("no %s in\n%s", want, listed)
		}
	}
	scripts, err := exec.Command("rpm", "-qp", "--scripts", file).Output()
	for _, want := range []string{"postinstall", "preuninstall", "postuninstall"} {
		if err != nil || !bytes.Contains(scripts, []byte(want+" scriptlet (using /bin/sh):\n")) {
			t.Errorf("%v: no %s in\n%s", err, want, scripts)
		}
	}
}

// tryRPM has the real rpm install, upgrade and remove it, in a root that has none of the packages it needs: it is a
// Debian, without a running systemd.
func tryRPM(t *testing.T, first, second string) {
	r := newRoot(t)
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("rpm", append([]string{"--root", r.path, "--nodeps"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("scriptlet failed")) {
			t.Fatalf("rpm %v: %v\n%s", args, err, out)
		}
	}
	run("--install", first)
	r.wantOwners()
	r.wantThere(true, unitFile, "usr/share/licenses/tcp-ingestion/LICENSE")
	changed := read(t, r.at(settingsFile)) + "LOG_LEVEL=debug\n"
	write(t, r.at(settingsFile), changed)
	write(t, r.at(dataDir+"/telemetry.db"), "records")

	run("--upgrade", second)
	r.wantOwners()
	if read(t, r.at(settingsFile)) != changed {
		t.Error("the upgrade has changed the settings")
	}
	if out := r.sh("tcp-ingestion version"); !strings.HasPrefix(out, "tcp-ingestion v1.1.0 ") {
		t.Errorf("upgraded: %s", out)
	}
	r.wantThere(true, settingsFile+".rpmnew")

	run("--erase", "tcp-ingestion")
	r.wantThere(true, settingsFile+".rpmsave", dataDir+"/telemetry.db")
	r.wantThere(false, settingsFile, "usr/bin/tcp-ingestion", unitFile)
}

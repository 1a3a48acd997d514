//go:build linux

package packages

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// Where things are in the root.
const (
	settingsFile = "etc/tcp-ingestion/tcp-ingestion.env"
	dataDir      = "var/lib/tcp-ingestion"
	unitFile     = "usr/lib/systemd/system/tcp-ingestion.service"
	enabledLink  = "etc/systemd/system/multi-user.target.wants/tcp-ingestion.service"
)

// debianRoot is a Debian of nothing but its essential packages. Commands in it are root's.
type debianRoot struct {
	t    *testing.T
	path string
}

// tryDeb does with the package what the page says, and as a newcomer would, in an empty Debian.
func tryDeb(t *testing.T, first, second string, commands []string) {
	r := unpack(t, first, second)
	install, use, upgrade, remove := commands[0], commands[1], commands[2], commands[3]

	if out := r.sh(install); !strings.Contains(out, "\ntcp-ingestion v1.0.0 commit 0123abc ") {
		t.Errorf("installed: %s", out)
	}
	r.wantInstalled()
	devices, page := testkit.FreePort(t), testkit.FreePort(t)
	changed := read(t, r.at(settingsFile)) + fmt.Sprintf("TELTONIKA_PORT=%d\nMETRICS_PORT=%d\n"+
		"ADMIN_ADDRESS=127.0.0.1:%d\n", devices, testkit.FreePort(t), page)
	write(t, r.at(settingsFile), changed)

	server := r.start(page)
	record := r.sh(strings.Replace(use, "simulate ", fmt.Sprintf("simulate --address 127.0.0.1:%d ", devices), 1))
	server.stop()
	record = record[strings.LastIndex(strings.TrimSpace(record), "\n")+1:]
	if !strings.HasPrefix(record, `{"device_id":"`) {
		t.Errorf("the first record: %s", record)
	}

	r.sh(upgrade)
	if out := r.sh("tcp-ingestion version"); !strings.HasPrefix(out, "tcp-ingestion v1.1.0 ") {
		t.Errorf("upgraded: %s", out)
	}
	if read(t, r.at(settingsFile)) != changed {
		t.Error("the upgrade has changed the settings")
	}
	if !strings.HasSuffix(read(t, r.at(settingsFile+".dpkg-dist")), "# New in this version.\n") {
		t.Error("the new settings are not beside the old ones")
	}
	server = r.start(page)
	if again := r.sh(strings.Split(strings.TrimSpace(use), "\n")[1]); again != record {
		t.Errorf("after the upgrade %s, before %s", again, record)
	}
	server.stop()

	const others = "etc/systemd/system/sockets.target.wants/tcp-ingestion.socket"
	r.sh("mkdir -p " + filepath.Dir(others) + "; ln -s /usr/lib/systemd/system/tcp-ingestion.socket " + others)
	steps := strings.Split(strings.TrimSpace(remove), "\n")
	r.sh(steps[0])
	r.wantThere(true, settingsFile, dataDir+"/telemetry.db", enabledLink)
	r.wantThere(false, "usr/bin/tcp-ingestion", unitFile)
	r.sh(steps[1])
	r.wantThere(false, settingsFile, settingsFile+".dpkg-dist", dataDir, enabledLink, others)
}

// unpack makes the root, with the packages in its first directory.
func unpack(t *testing.T, first, second string) *debianRoot {
	t.Helper()
	r := newRoot(t)
	write(t, r.at(deb("1.0.0")), read(t, filepath.Join(first, deb("1.0.0"))))
	write(t, r.at(deb("1.1.0")), read(t, filepath.Join(second, deb("1.1.0"))))
	return r
}

func newRoot(t *testing.T) *debianRoot {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tar := filepath.Join(cache, "tcp-ingestion-tools", "debian-root-bookworm.tar")
	r := &debianRoot{t: t, path: filepath.Join(t.TempDir(), "root")}
	if err := os.Mkdir(r.path, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", r.path, "-xf", tar).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\nthe root is made by `make tools`, and unpacked by root", err, out)
	}
	return r
}

func (r *debianRoot) at(name string) string { return filepath.Join(r.path, name) }

// sh runs commands as root does, one after the other until one fails, and returns what they print.
func (r *debianRoot) sh(commands string) string {
	r.t.Helper()
	cmd := exec.Command("/bin/sh", "-ec", commands)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: r.path}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%s\n%v\n%s%s", commands, err, out.String(), errs.String())
	}
	return out.String()
}

// wantInstalled fails unless all is there, the service is enabled and what is the service's is its alone.
func (r *debianRoot) wantInstalled() {
	r.t.Helper()
	r.wantThere(true, unitFile, enabledLink, "usr/share/man/man1/tcp-ingestion.1.gz",
		"usr/share/bash-completion/completions/tcp-ingestion", "usr/share/zsh/vendor-completions/_tcp-ingestion",
		"usr/share/fish/vendor_completions.d/tcp-ingestion.fish", "usr/share/doc/tcp-ingestion/copyright",
		"usr/lib/systemd/system/tcp-ingestion.socket", "usr/lib/systemd/system/tcp-ingestion-forward.service")
	r.wantOwners()
	if out := r.sh("dpkg --audit; dpkg --verify tcp-ingestion"); out != "" {
		r.t.Errorf("dpkg says %s", out)
	}
	r.wantUnit()
}

// wantOwners fails unless what is secret, or the service's, is nobody else's.
func (r *debianRoot) wantOwners() {
	r.t.Helper()
	for path, want := range map[string]string{
		"/etc/tcp-ingestion":     "750 root:tcp-ingestion",
		"/" + settingsFile:       "600 root:root",
		"/" + dataDir:            "750 tcp-ingestion:tcp-ingestion",
		"/usr/bin/tcp-ingestion": "755 root:root",
	} {
		if got := strings.TrimSpace(r.sh("stat -c '%a %U:%G' " + path)); got != want {
			r.t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// wantUnit compares the unit with deploy/systemd: only the program's place and the first comment differ.
func (r *debianRoot) wantUnit() {
	r.t.Helper()
	_, source, _ := strings.Cut(read(r.t, filepath.Join(repository, "deploy/systemd/tcp-ingestion.service")), "\n")
	if got := read(r.t, r.at(unitFile)); got != strings.ReplaceAll(source, "/usr/local/bin/", "/usr/bin/") {
		r.t.Errorf("the unit is\n%s", got)
	}
}

func (r *debianRoot) wantThere(want bool, names ...string) {
	r.t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(r.at(name)); (err == nil) != want {
			r.t.Errorf("%s: %v, want it there %v", name, err, want)
		}
	}
}

// server is the service, as systemd starts it.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	exited chan error
	log    *bytes.Buffer
}

// start does what the unit says: its program, user, environment. It returns when the operator's page answers.
func (r *debianRoot) start(page int) *server {
	r.t.Helper()
	args := strings.Fields(r.unit("ExecStart")[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", r.unit("Environment")
	for _, path := range r.unit("EnvironmentFile") {
		content := read(r.t, r.at(strings.TrimPrefix(path, "-")))
		cmd.Env = append(cmd.Env, regexp.MustCompile(`(?m)^[A-Z_]+=.*$`).FindAllString(content, -1)...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.path, Credential: r.credential(r.unit("User")[0])}
	s := &server{t: r.t, cmd: cmd, exited: make(chan error, 1), log: new(bytes.Buffer)}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { s.exited <- cmd.Wait() }()
	r.t.Cleanup(func() { cmd.Process.Kill() })
	testkit.Eventually(r.t, "the operator's page", func() bool {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", page))
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode == http.StatusOK && bytes.Contains(body, []byte("<html"))
	})
	return s
}

// stop ends it by SIGTERM, as systemd does.
func (s *server) stop() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.exited; err != nil {
		s.t.Errorf("the service ends with %v:\n%s", err, s.log)
	}
}

// unit is what the installed unit gives a key.
func (r *debianRoot) unit(key string) (values []string) {
	r.t.Helper()
	for _, m := range regexp.MustCompile("(?m)^"+key+"=(.+)$").FindAllStringSubmatch(read(r.t, r.at(unitFile)), -1) {
		values = append(values, strings.ReplaceAll(m[1], "%H", "machine-1")) // which is how systemd writes its name
	}
	if len(values) == 0 {
		r.t.Fatalf("the unit has no %s", key)
	}
	return values
}

// credential is a user of the root.
func (r *debianRoot) credential(name string) *syscall.Credential {
	r.t.Helper()
	m := regexp.MustCompile("(?m)^" + name + `:x:(\d+):(\d+):`).FindStringSubmatch(read(r.t, r.at("etc/passwd")))
	if m == nil {
		r.t.Fatalf("no user %s", name)
	}
	uid, _ := strconv.Atoi(m[1])
	gid, _ := strconv.Atoi(m[2])
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

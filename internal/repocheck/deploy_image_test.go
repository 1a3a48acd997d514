//go:build linux

package repocheck

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// instruction is one of a Dockerfile, with its lines joined: {"USER", "65532:65532"}.
type instruction struct{ name, value string }

// stages are the Dockerfile's, each beginning with its FROM.
func stages(t *testing.T) [][]instruction {
	t.Helper()
	var all [][]instruction
	joined := ""
	for line := range strings.Lines(contents(t, dockerfilePath)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		before, continued := strings.CutSuffix(line, `\`)
		if joined += before; continued {
			continue
		}
		name, value, _ := strings.Cut(joined, " ")
		joined = ""
		if name == "FROM" {
			all = append(all, nil)
		}
		if len(all) == 0 {
			t.Fatalf("%s before FROM", name)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, strings.TrimSpace(value)})
	}
	return all
}

// image is the last stage.
func image(t *testing.T) []instruction {
	t.Helper()
	all := stages(t)
	return all[len(all)-1]
}

// the is the value of an instruction that stands once in the image.
func the(t *testing.T, name string) string {
	t.Helper()
	values := each(image(t), name)
	if len(values) != 1 {
		t.Fatalf("%d %s in the image, want one", len(values), name)
	}
	return values[0]
}

func each(stage []instruction, name string) []string {
	var values []string
	for _, i := range stage {
		if i.name == name {
			values = append(values, i.value)
		}
	}
	return values
}

// array is the value of an instruction in its exec form, which needs no shell.
func array(t *testing.T, value string) []string {
	t.Helper()
	var words []string
	if err := json.Unmarshal([]byte(value), &words); err != nil || len(words) == 0 {
		t.Fatalf("%s is not in exec form: %v", value, err)
	}
	return words
}

// user is the image's, in numbers.
func user(t *testing.T) (uid, gid uint32) {
	t.Helper()
	user, group, _ := strings.Cut(the(t, "USER"), ":")
	u, err := strconv.ParseUint(user, 10, 32)
	g, err2 := strconv.ParseUint(group, 10, 32)
	if err != nil || err2 != nil || u == 0 || g == 0 {
		t.Fatalf("USER %s must be two numbers, and not root's", the(t, "USER"))
	}
	return uint32(u), uint32(g)
}

func TestDockerfile(t *testing.T) {
	for name, want := range map[string]string{
		"FROM": "scratch", "STOPSIGNAL": "SIGTERM", "EXPOSE": "5027 9090", "VOLUME": "/data",
	} {
		if got := the(t, name); got != want {
			t.Errorf("%s %s, want %s", name, got, want)
		}
	}
	user(t)
	if len(each(image(t), "RUN"))+len(each(image(t), "ADD")) > 0 {
		t.Error("scratch has nothing to RUN, and COPY does what is wanted of ADD")
	}
	copied := strings.Join(each(image(t), "COPY"), "\n")
	for _, want := range []string{
		"/etc/ssl/certs/ca-certificates.crt", "--chown=" + the(t, "USER") + " ", "/src/bin/tcp-ingestion /tcp-ingestion",
	} {
		if !strings.Contains(copied, want) {
			t.Errorf("nothing copies %s", want)
		}
	}
	build := strings.Join(each(stages(t)[0], "RUN"), "\n")
	for _, want := range []string{`make build VERSION="$VERSION" COMMIT="$COMMIT"`, "GOTOOLCHAIN=local", "mkdir /data"} {
		if !strings.Contains(build, want) {
			t.Errorf("the build does not run %s", want)
		}
	}
	for _, label := range []string{"title", "source", "licenses", "version", "revision"} {
		if !strings.Contains(the(t, "LABEL"), "org.opencontainers.image."+label+"=") {
			t.Errorf("no label %s", label)
		}
	}
}

// TestBuildIsReproducible builds what .dockerignore admits in two places, one of them under version control and
// the other newer, and runs the result as the image would.
func TestBuildIsReproducible(t *testing.T) {
	one, two := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere", "and-deeper")
	copyContext(t, one, time.Unix(1_000_000_000, 0))
	copyContext(t, two, time.Now())
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"commit", "--quiet", "--message", "all"}} {
		git := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
		git.Dir = two
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	first, second := makeBuild(t, one), makeBuild(t, two)
	a, b := contents(t, first), contents(t, second)
	if a != b {
		t.Errorf("%d and %d bytes that differ", len(a), len(b))
	}
	out, err := exec.Command(first, "version").Output()
	if want := "tcp-ingestion v0.0.0-test commit 0123abc go1."; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("version says %q (%v), want %q", out, err, want)
	}
	wantStatic(t, first)
	t.Run("image", func(t *testing.T) { runImage(t, first) })
}

func makeBuild(t *testing.T, dir string) (binary string) {
	t.Helper()
	cmd := exec.Command("make", "build", "VERSION=v0.0.0-test", "COMMIT=0123abc")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=auto") // the toolchain's own default, whatever is set here
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "bin/tcp-ingestion")
}

// wantStatic fails unless the binary needs no loader and no library.
func wantStatic(t *testing.T, binary string) {
	t.Helper()
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("needs a dynamic loader")
		}
	}
	if libraries, _ := f.ImportedLibraries(); len(libraries) > 0 {
		t.Errorf("needs %v", libraries)
	}
}

// copyContext copies what `docker build` would be given.
func copyContext(t *testing.T, to string, modified time.Time) {
	t.Helper()
	admitted := dockerContext(t)
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && !admitted(name) && entry.IsDir():
			return fs.SkipDir
		case name != "." && !admitted(name):
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		copied := filepath.Join(to, name)
		if err := os.WriteFile(copied, b, 0o644); err != nil {
			return err
		}
		return os.Chtimes(copied, modified, modified)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dockerContext reads the three kinds of line in .dockerignore: all (*), but not one at the top (!name), and
// patterns of names at any depth (**/name).
func dockerContext(t *testing.T) (admitted func(name string) bool) {
	t.Helper()
	var top, never []string
	for line := range strings.Lines(contents(t, ".dockerignore")) {
		line = strings.TrimSpace(line)
		allowed, isAllowed := strings.CutPrefix(line, "!")
		anywhere, isAnywhere := strings.CutPrefix(line, "**/")
		switch {
		case line == "" || line == "*" || strings.HasPrefix(line, "#"):
		case isAllowed && !strings.ContainsAny(allowed, "/*"):
			top = append(top, allowed)
		case isAnywhere && !strings.Contains(anywhere, "/"):
			never = append(never, anywhere)
		default:
			t.Fatalf(".dockerignore: this test does not understand %q", line)
		}
	}
	return func(name string) bool {
		first, _, _ := strings.Cut(name, "/")
		return slices.Contains(top, first) && !slices.ContainsFunc(never, func(pattern string) bool {
			matches, err := path.Match(pattern, path.Base(name))
			return err != nil || matches
		})
	}
}

// runImage runs the image's commands as its user in a root that holds the binary and /data, and nothing else.
func runImage(t *testing.T, binary string) {
	root := imageRoot(t, binary)
	entrypoint := array(t, the(t, "ENTRYPOINT"))
	settings := append(each(image(t), "ENV"),
		"TELTONIKA_PORT=0", "METRICS_PORT=0", "ADMIN_ADDRESS=127.0.0.1:0", "BIND_ADDRESS=127.0.0.1")
	server := inRoot(t, root, settings, append(entrypoint, array(t, the(t, "CMD"))...))
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill() })
	addresses, log := listening(t, stderr)

	device := testkit.Dial(t, addresses["devices"])
	device.MustLogin("356307042441013")
	device.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1_560_161_086_000})
	device.ExpectACK(1)
	device.Close()

	_, check, found := strings.Cut(the(t, "HEALTHCHECK"), " CMD ")
	if !found {
		t.Fatalf("HEALTHCHECK %s", the(t, "HEALTHCHECK"))
	}
	_, port, _ := strings.Cut(addresses["http"][strings.LastIndex(addresses["http"], ":"):], ":")
	for _, c := range []struct {
		port    string
		healthy bool
	}{{port, true}, {strconv.Itoa(testkit.FreePort(t)), false}} {
		out, err := inRoot(t, root, []string{"METRICS_PORT=" + c.port}, array(t, check)).CombinedOutput()
		if (err == nil) != c.healthy {
			t.Errorf("health check: %v %s", err, out)
		}
	}

	server.Process.Signal(syscall.SIGTERM)
	rest := <-log
	if err := server.Wait(); err != nil {
		t.Errorf("%v\n%s", err, rest)
	}
	if _, err := os.Stat(filepath.Join(root, "data/telemetry.db")); err != nil {
		t.Error(err)
	}
}

func imageRoot(t *testing.T, binary string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	data := filepath.Join(root, "data")
	if err := os.MkdirAll(data, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "tcp-ingestion"), []byte(contents(t, binary)), 0o555); err != nil {
		t.Fatal(err)
	}
	if uid, gid := user(t); os.Geteuid() == 0 {
		if err := os.Chown(data, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o555); err != nil { // read-only
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(root, 0o755) })
	return root
}

// inRoot is a command in the root, as the image's user. Without being root itself, the test needs user namespaces.
func inRoot(t *testing.T, root string, settings, args []string) *exec.Cmd {
	t.Helper()
	uid, gid := user(t)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", settings
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uid, Gid: gid},
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(uid), HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(gid), HostID: os.Getegid(), Size: 1}}
		cmd.SysProcAttr.Credential.NoSetGroups = true
	}
	return cmd
}

// listening reads a server's log until it listens for devices, and returns the addresses by their purpose and,
// when the log ends, all of it.
func listening(t *testing.T, stderr io.Reader) (addresses map[string]string, log <-chan string) {
	t.Helper()
	var all bytes.Buffer
	addresses = make(map[string]string)
	lines := bufio.NewScanner(stderr)
	for addresses["devices"] == "" && lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		var line struct{ Msg, For, Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Msg == "listening" {
			addresses[line.For] = line.Address
		}
	}
	if addresses["devices"] == "" {
		t.Fatalf("the server does not listen:\n%s", all.String())
	}
	rest := make(chan string, 1)
	go func() {
		for lines.Scan() {
			all.WriteString(lines.Text() + "\n")
		}
		rest <- all.String()
	}()
	return addresses, rest
}

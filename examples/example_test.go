package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// example is one that a newcomer has: its directory, and the commands of its README, of which the last one runs it.
type example struct {
	t        *testing.T
	dir      string
	commands []string
}

// newExample runs all commands but the last one, each in a shell of its own: what they export, start is given. What
// needs no Go module is a copy: the commands leave files there.
func newExample(t *testing.T, name string) *example {
	t.Helper()
	e := &example{t: t, dir: name, commands: strings.Split(blocks(t, filepath.Join(name, "README.md"))[0], "\n")}
	if len(e.commands) > 2 {
		t.Fatalf("%s takes more than two commands: %q", name, e.commands)
	}
	if goFiles, _ := filepath.Glob(filepath.Join(name, "*.go")); len(goFiles) == 0 {
		e.dir = t.TempDir()
		if err := os.CopyFS(e.dir, os.DirFS(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range e.commands[:len(e.commands)-1] {
		if out, err := e.shell(command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	return e
}

// block is one of commands on a page.
var block = regexp.MustCompile("(?ms)^```sh\n(.*?)\n```$")

// blocks are the commands of a page.
func blocks(t *testing.T, page string) (all []string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range block.FindAllStringSubmatch(string(b), -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return all
}

// shell is a command line of the example, for which nothing comes from a network.
func (e *example) shell(line string, settings ...string) *exec.Cmd {
	cache, err := os.UserCacheDir()
	if err != nil {
		e.t.Fatal(err)
	}
	tools := filepath.Join(cache, "tcp-ingestion-tools")
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), "PIP_NO_INDEX=1", "PIP_FIND_LINKS="+filepath.Join(tools, "wheels"),
		"PIP_ROOT_USER_ACTION=ignore", "npm_config_offline=true", "npm_config_cache="+filepath.Join(tools, "npm"))
	cmd.Env = append(cmd.Env, settings...)
	return cmd
}

// run is an example that runs.
type run struct {
	t         *testing.T
	cmd       *exec.Cmd
	out, errs text
}

// text may be read while it is written.
type text struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bytes.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bytes.String()
}

// start runs the last command until the test ends or kills it.
func (e *example) start(settings ...string) *run {
	e.t.Helper()
	r := &run{t: e.t, cmd: e.shell(e.commands[len(e.commands)-1], settings...)}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errs
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	r.cmd.WaitDelay = 10 * time.Second
	if err := r.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		r.kill()
		if e.t.Failed() {
			e.t.Logf("%s in %s wrote %d lines, and\n%s", r.cmd, e.dir, len(r.lines()), r.errs.String())
		}
	})
	return r
}

// signal goes to the shell and all that it has started.
func (r *run) signal(s syscall.Signal) { _ = syscall.Kill(-r.cmd.Process.Pid, s) }

// kill ends the example at once, as kill -9 does.
func (r *run) kill() {
	r.signal(syscall.SIGKILL)
	_ = r.cmd.Wait()
}

// lines are those that the example has printed whole.
func (r *run) lines() (all []string) {
	for line := range strings.Lines(r.out.String()) {
		if line, whole := strings.CutSuffix(line, "\n"); whole {
			all = append(all, line)
		}
	}
	return all
}

// records are those that the example has printed.
func (r *run) records() []record {
	r.t.Helper()
	return records(r.t, r.lines())
}

// await waits until the example has printed so many records.
func (r *run) await(n int) {
	r.t.Helper()
	testkit.Eventually(r.t, "the example prints", func() bool { return len(r.records()) >= n })
}

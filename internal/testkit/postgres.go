//go:build linux

package testkit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postgresTimeout is how long a PostgreSQL server may take to start, to answer or to stop.
const postgresTimeout = time.Minute

// Postgres is a real PostgreSQL server on a free loopback port, with its files in a directory of its own. Anyone may
// log in as the superuser postgres without a password. Its methods fail the test instead of returning errors.
type Postgres struct {
	tb       testing.TB
	bin      string              // the directory of its programs
	owner    *syscall.Credential // whom its processes run as, nil = as the test does: it refuses root
	dir      string
	port     int
	settings []string
	run      *process // nil while stopped
}

// StartPostgres makes a new database cluster, starts its server and waits until it answers. The settings, such as
// "fsync=off", follow the defaults and win over them. The server ends with the test, also if it is frozen.
func StartPostgres(tb testing.TB, settings ...string) *Postgres {
	tb.Helper()
	p := newPostgres(tb, settings)
	if out, err := exec.Command("cp", "--archive", p.newCluster(), p.dir).CombinedOutput(); err != nil {
		tb.Fatalf("copy a new cluster: %v\n%s", err, out)
	}
	p.mustStart()
	return p
}

// newCluster is the directory of a new cluster's files to copy. They are made once for all tests of this machine's
// user and kept, because that takes seconds.
func (p *Postgres) newCluster() string {
	p.tb.Helper()
	version, err := p.command("initdb", "--version").Output()
	if err != nil {
		p.tb.Fatalf("initdb: %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		p.tb.Fatal(err)
	}
	words := strings.Fields(string(version)) // initdb (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	kept := filepath.Join(cache, "tcp-ingestion-tools", "postgres-cluster-"+words[2])
	if _, err := os.Stat(kept); err == nil {
		return kept
	}
	// Small segments: little to write for a new server, and much that goes through them in a test.
	made := filepath.Join(filepath.Dir(p.dir), "new")
	p.mustRun("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--wal-segsize=4",
		"--pgdata="+made)
	part := kept + "-" + strconv.Itoa(os.Getpid())
	if out, err := exec.Command("sh", "-c", `mkdir -p "$(dirname "$2")" && cp -a "$1" "$2"`, "sh", made, part).
		CombinedOutput(); err != nil {
		p.tb.Fatalf("keep the new cluster: %v\n%s", err, out)
	}
	// Another test may be first: then this fails, and its files are as good.
	if err := os.Rename(part, kept); err != nil {
		_ = os.RemoveAll(part)
	}
	return kept
}

// newPostgres is a server without files.
func newPostgres(tb testing.TB, settings []string) *Postgres {
	tb.Helper()
	p := &Postgres{tb: tb, bin: postgresPrograms(tb), owner: postgresOwner(tb), settings: settings}
	root, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		tb.Fatal(err)
	}
	p.dir = filepath.Join(root, "data")
	tb.Cleanup(func() {
		if p.run != nil {
			p.Thaw()
			p.stop(syscall.SIGQUIT) // at once, and nothing is left over in shared memory
		}
		if err := os.RemoveAll(root); err != nil {
			tb.Errorf("remove the server's files: %v", err)
		}
	})
	if p.owner != nil {
		if err := os.Chown(root, int(p.owner.Uid), int(p.owner.Gid)); err != nil {
			tb.Fatal(err)
		}
	}
	return p
}

// postgresPrograms is the directory of the newest version's, where Debian has them, or of those in the path.
func postgresPrograms(tb testing.TB) string {
	tb.Helper()
	newest := func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, newest))
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		tb.Fatal("these tests run a real PostgreSQL server and there is none: make tools")
	}
	return filepath.Dir(path)
}

// postgresOwner is the user postgres for root, and nil for others, who run the server themselves.
func postgresOwner(tb testing.TB) *syscall.Credential {
	tb.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		tb.Fatalf("root cannot run a PostgreSQL server, and there is no user for it: make tools (%v)", err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// Addr is the server's host and port.
func (p *Postgres) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// URL is the address of the database postgres for its superuser, as the service's settings take it.
func (p *Postgres) URL() string { return p.DatabaseURL("postgres") }

// DatabaseURL is the URL of another database.
func (p *Postgres) DatabaseURL(name string) string {
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Host: p.Addr(), Path: name}).String()
}

// Dir is the directory of the server's files.
func (p *Postgres) Dir() string { return p.dir }

// CPU is how long the server's processes have computed, those that have ended included.
func (p *Postgres) CPU() (total time.Duration) {
	p.tb.Helper()
	for i, pid := range p.processes() {
		stat := processStat(pid)
		fields := 2 // user and system
		if i == 0 {
			fields = 4 // and those of children that have ended
		}
		for k := range min(fields, max(0, len(stat)-11)) {
			ticks, _ := strconv.Atoi(stat[11+k])
			total += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
		}
	}
	return total
}

// Kill ends all of the server's processes at once, as kill -9 or a loss of power does, and waits until they are gone.
func (p *Postgres) Kill() {
	p.tb.Helper()
	Freeze(p.tb, p.run.pid) // it starts no more
	pids := p.processes()
	for _, pid := range pids[1:] {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	p.run.kill(p.tb)
	p.run = nil
	Eventually(p.tb, "all processes of PostgreSQL gone", func() bool { return !slices.ContainsFunc(pids, running) })
}

// Shutdown ends the server as its administrator does: it tells its clients and closes their connections.
func (p *Postgres) Shutdown() {
	p.tb.Helper()
	p.stop(syscall.SIGINT)
}

// Restart starts a stopped or killed server again, on the same port, with the same files and settings, and waits until
// it answers. More settings, if given, are added for good.
func (p *Postgres) Restart(settings ...string) {
	p.tb.Helper()
	if p.run != nil {
		p.Kill()
	}
	p.settings = append(p.settings, settings...)
	if err := p.start(); err != nil {
		p.tb.Fatalf("restart postgres: %v", err)
	}
}

// Freeze stops the server's processes: its sockets stay open and nothing answers.
func (p *Postgres) Freeze() {
	p.tb.Helper()
	Freeze(p.tb, p.run.pid)
	for _, pid := range p.processes()[1:] {
		_ = freeze(pid) // it may have ended
	}
}

// Thaw lets a frozen server go on.
func (p *Postgres) Thaw() {
	p.tb.Helper()
	p.signalChildren(syscall.SIGCONT)
	p.run.signal(p.tb, syscall.SIGCONT)
}

// SQL runs statements in the database postgres by the server's own client, and returns the rows of the last one,
// a line each, with | between the columns.
func (p *Postgres) SQL(statements string) string {
	p.tb.Helper()
	return p.DatabaseSQL("postgres", statements)
}

// DatabaseSQL is SQL in another database.
func (p *Postgres) DatabaseSQL(name, statements string) string {
	p.tb.Helper()
	rows, err := p.TrySQL(p.DatabaseURL(name), statements)
	if err != nil {
		p.tb.Fatal(err)
	}
	return rows
}

// TrySQL is SQL at any URL, for statements that may fail.
func (p *Postgres) TrySQL(at, statements string) (string, error) {
	cmd := exec.Command(filepath.Join(p.bin, "psql"), "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", at)
	cmd.Stdin = strings.NewReader(statements)
	var problem strings.Builder
	cmd.Stderr = &problem
	rows, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, problem.String())
	}
	return strings.TrimSuffix(string(rows), "\n"), nil
}

// mustStart starts a server that has files, on a free port.
func (p *Postgres) mustStart() {
	p.tb.Helper()
	// Another process may take the free port before the server does; then the next one will do.
	var err error
	for range 5 {
		p.port = FreePort(p.tb)
		if err = p.start(); err == nil {
			return
		}
	}
	p.tb.Fatalf("start postgres: %v", err)
}

func (p *Postgres) start() error {
	args := []string{"-D", p.dir, "-p", strconv.Itoa(p.port)}
	for _, s := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories="}, p.settings...) {
		args = append(args, "-c", s)
	}
	run, err := startCommand(p.command("postgres", args...))
	if err != nil {
		return err
	}
	p.run = run
	if err := p.awaitReady(); err != nil {
		p.Kill()
		return fmt.Errorf("%w\n%s", err, run.out.String())
	}
	return nil
}

// awaitReady waits until the server takes connections, which it writes into its directory.
func (p *Postgres) awaitReady() error {
	deadline := time.Now().Add(postgresTimeout)
	for time.Now().Before(deadline) {
		// Its process id is the first line, and its state the eighth.
		text, err := os.ReadFile(filepath.Join(p.dir, "postmaster.pid"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if f := strings.Fields(string(text)); len(f) > 1 && f[0] == strconv.Itoa(p.run.pid) &&
			(f[len(f)-1] == "ready" || f[len(f)-1] == "standby") {
			return nil
		}
		select {
		case <-p.run.exited:
			return errors.New("postgres ended by itself")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("not ready within %v", postgresTimeout)
}

// stop has the server end by itself.
func (p *Postgres) stop(s syscall.Signal) {
	p.tb.Helper()
	p.run.signal(p.tb, s)
	select {
	case <-p.run.exited:
		p.run = nil
	case <-time.After(postgresTimeout):
		p.tb.Errorf("postgres does not end within %v:\n%s", postgresTimeout, p.run.out.String())
		p.Kill()
	}
}

// mustRun runs one of the server's programs to its end.
func (p *Postgres) mustRun(program string, args ...string) {
	p.tb.Helper()
	if out, err := p.command(program, args...).CombinedOutput(); err != nil {
		p.tb.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// command is one of the server's programs, in a directory that the server's user may enter.
func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = filepath.Dir(p.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	return cmd
}

func (p *Postgres) signalChildren(s syscall.Signal) {
	p.tb.Helper()
	for _, pid := range p.processes()[1:] {
		_ = syscall.Kill(pid, s) // it may have ended
	}
}

// processes are the server's, itself first.
func (p *Postgres) processes() []int {
	p.tb.Helper()
	pids := []int{p.run.pid}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		p.tb.Fatal(err)
	}
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if stat := processStat(pid); len(stat) > 1 && stat[1] == strconv.Itoa(p.run.pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processStat is what the system says of a process behind its name: state, parent and so on; nothing if there is none.
func processStat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// running reports whether there is such a process, dead ones that nobody has waited for apart.
func running(pid int) bool {
	stat := processStat(pid)
	return len(stat) > 0 && stat[0] != "Z" && stat[0] != "X"
}

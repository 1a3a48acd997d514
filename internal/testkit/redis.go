//go:build linux

package testkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisTimeout is how long a redis-server may take to start, to answer or to stop.
const redisTimeout = time.Minute

// Redis is a real redis-server on a free loopback port, with its files in a directory of its own.
// Its methods fail the test instead of returning errors.
type Redis struct {
	tb      testing.TB
	program string
	dir     string
	port    int
	args    []string
	run     *process // nil while killed
}

// StartRedis starts a redis-server and waits until it answers. The arguments follow the defaults
// (loopback only, no snapshots) and win over them: "--appendonly", "yes". The server is killed
// when the test ends, also if it is frozen, and if the test's process dies.
func StartRedis(tb testing.TB, args ...string) *Redis {
	tb.Helper()
	return StartRedisOf(tb, "redis-server", args...)
}

// valkeyVersion is the one that `make tools` installs, which reads it here.
const valkeyVersion = "9.1.2"

// Valkey is the program of a Valkey server, which unlike an old Redis has WAITAOF.
func Valkey(tb testing.TB) string {
	tb.Helper()
	return ToolPath(tb, "valkey-server-"+valkeyVersion)
}

// StartRedisOf is StartRedis with another program.
func StartRedisOf(tb testing.TB, program string, args ...string) *Redis {
	tb.Helper()
	if _, err := exec.LookPath(program); err != nil {
		tb.Fatalf("these tests run a real %s and there is none: make tools", program)
	}
	r := &Redis{tb: tb, program: program, dir: tb.TempDir(), args: args}
	tb.Cleanup(func() {
		if r.run != nil {
			r.Kill()
		}
	})
	// Another process may take the free port before the server does; then the next one will do.
	var err error
	for range 5 {
		r.port = FreePort(tb)
		if err = r.start(); err == nil {
			return r
		}
	}
	tb.Fatalf("start %s: %v", program, err)
	return nil
}

// Addr is the server's host and port.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// Port is the server's.
func (r *Redis) Port() int { return r.port }

// URL is the server's address as the service's settings take it.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// Dir is the directory of the server's files.
func (r *Redis) Dir() string { return r.dir }

// PID is the process id of the running server.
func (r *Redis) PID() int { return r.run.pid }

// Kill ends the server at once, as kill -9 does, and waits until it is gone.
func (r *Redis) Kill() {
	r.tb.Helper()
	r.run.kill(r.tb)
	r.run = nil
}

// Restart starts a killed server again, on the same port, in the same directory and with the same
// arguments, and waits until it answers. More arguments, if given, are added for good.
func (r *Redis) Restart(args ...string) {
	r.tb.Helper()
	if r.run != nil {
		r.Kill()
	}
	r.args = append(r.args, args...)
	if err := r.start(); err != nil {
		r.tb.Fatalf("restart redis-server: %v", err)
	}
}

// Freeze stops the server's process: its sockets stay open and nothing answers.
func (r *Redis) Freeze() { r.tb.Helper(); Freeze(r.tb, r.run.pid) }

// Thaw lets a frozen server go on.
func (r *Redis) Thaw() { r.tb.Helper(); r.run.signal(r.tb, syscall.SIGCONT) }

// Do sends one command as the default user and returns its answer: string, int64, []any or nil.
// An error of any kind fails the test.
func (r *Redis) Do(args ...any) any {
	r.tb.Helper()
	v, err := r.TryDo(args...)
	if err != nil {
		r.tb.Fatalf("redis %v: %v", args[0], err)
	}
	return v
}

// TryDo is Do for a command that is expected to fail.
func (r *Redis) TryDo(args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), redisTimeout)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: r.Addr(), Protocol: 2, MaxRetries: -1, DialerRetries: 1,
		ReadTimeout: redisTimeout, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	v, err := c.Do(ctx, args...).Result()
	if err == redis.Nil {
		return nil, nil
	}
	return v, err
}

func (r *Redis) start() error {
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(r.port), "--dir", r.dir,
		"--save", "", "--appendonly", "no",
	}, r.args...)
	p, err := startProcess(r.program, args...)
	if err != nil {
		return err
	}
	if err := r.awaitAnswer(p); err != nil {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		<-p.exited
		return fmt.Errorf("%w\n%s", err, p.out.String())
	}
	r.run = p
	return nil
}

// awaitAnswer waits until the server says something other than that it is loading its data.
func (r *Redis) awaitAnswer(p *process) error {
	deadline := time.Now().Add(redisTimeout)
	for time.Now().Before(deadline) {
		if answer := r.ping(); answer != "" && !strings.HasPrefix(answer, "-LOADING") {
			return r.ours(p)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("redis-server ended by itself")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("no answer within %v", redisTimeout)
}

// ours makes sure that the answer came from the server just started and not from another one that
// won the port.
func (r *Redis) ours(p *process) error {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.pid), "cwd"))
	if err != nil || cwd != r.dir {
		return fmt.Errorf("port %d belongs to another server", r.port)
	}
	return nil
}

// ping returns the first line of the server's answer, "" if there is none.
func (r *Redis) ping() string {
	c, err := net.DialTimeout("tcp", r.Addr(), time.Second)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		return ""
	}
	b := make([]byte, 256)
	n, _ := c.Read(b)
	return string(b[:n])
}

// startRelay starts a relay to the server, until the test ends, and returns its port as well.
func (r *Redis) startRelay() (relay *Relay, port string) {
	r.tb.Helper()
	relay, err := NewRelay(r.Addr())
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(relay.Close)
	_, port, _ = net.SplitHostPort(relay.Addr())
	return relay, port
}

// parseInfo reads the lines name:value of an answer for people.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

//go:build linux

package testkit

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one life of a server that a test runs.
type process struct {
	name   string
	pid    int
	out    output        // what it has printed so far
	exited chan struct{} // closed when it has ended
}

// output may be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startProcess runs a program, which is killed if the test's process dies.
func startProcess(name string, args ...string) (*process, error) {
	return startCommand(exec.Command(name, args...))
}

// startCommand is startProcess for a command with a directory or a user of its own.
func startCommand(cmd *exec.Cmd) (*process, error) {
	p := &process{name: cmd.Args[0], exited: make(chan struct{})}
	started := make(chan error)
	go p.live(cmd, started)
	return p, <-started
}

// live runs the program from start to end on one thread, because the death signal is sent when the
// thread that started the process ends, not when the test's process does.
func (p *process) live(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	_ = cmd.Wait()
	close(p.exited)
}

func (p *process) signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	if err := syscall.Kill(p.pid, s); err != nil {
		tb.Errorf("signal %s: %v", p.name, err)
	}
}

// kill ends the process at once, as kill -9 does, and waits until it is gone.
func (p *process) kill(tb testing.TB) {
	tb.Helper()
	select {
	case <-p.exited:
		tb.Errorf("%s has ended by itself:\n%s", p.name, p.out.String())
		return
	default:
	}
	p.signal(tb, syscall.SIGKILL)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		tb.Errorf("%s %d survives kill -9", p.name, p.pid)
	}
}

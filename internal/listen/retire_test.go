//go:build linux

package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// settle is the tests' time for handshakes on loopback, on a machine that has much else to do.
const settle = 500 * time.Millisecond

// load connects to a port without a pause, again and again.
type load struct {
	answered, lost atomic.Int64
	first          atomic.Pointer[error]
	progress       chan struct{}
	stop           chan struct{}
	dialers        sync.WaitGroup
}

func startLoad(t *testing.T, address string) *load {
	l := &load{progress: make(chan struct{}, 1), stop: make(chan struct{})}
	for range 4 {
		l.dialers.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if err := exchange(address); err != nil {
					l.lost.Add(1)
					l.first.CompareAndSwap(nil, &err)
					continue
				}
				l.answered.Add(1)
				select {
				case l.progress <- struct{}{}:
				default:
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.dialers.Wait()
}

// more waits for that many answers.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	timeout := time.After(patience)
	for until := l.answered.Load() + n; l.answered.Load() < until; {
		select {
		case <-l.progress:
		case <-timeout:
			t.Fatal("no answers")
		}
	}
}

// exchange connects, and sends a byte for a byte.
func exchange(address string) error {
	var dialer net.Dialer
	dialer.SetMultipathTCP(false)
	c, err := dialer.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0) // leaves no port in TIME_WAIT
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// process is an old or a new server on the port.
type process struct {
	listener net.Listener
	set      *Set
	taken    atomic.Int64
	work     sync.WaitGroup
}

func (p *process) serve() {
	p.work.Go(func() {
		for {
			c, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.taken.Add(1)
			p.work.Go(func() {
				defer c.Close()
				io.CopyN(c, c, 1)
				io.Copy(io.Discard, c)
			})
		}
	})
}

func (p *process) close() {
	p.listener.Close()
	p.work.Wait()
}

func startProcess(t *testing.T, host string, port int) *process {
	t.Helper()
	set := newSet(t, true)
	listeners, err := set.TCP(t.Context(), "devices", []string{host}, port)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{listener: listeners[0], set: set}
	p.serve()
	return p
}

func (p *process) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// inherit starts a process that has got the other's socket.
func (p *process) inherit(t *testing.T) *process {
	t.Helper()
	file, err := p.listener.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	next := &process{listener: &listener{TCPListener: l.(*net.TCPListener), inherited: true}}
	next.serve()
	return next
}

// switches is how often a new process takes over from the old one under load.
const switches = 8

// roll replaces the process again and again and returns the connections that were answered and lost.
func roll(t *testing.T, p *process, next func(old *process) *process, retire func(old *process)) (answered, lost int64) {
	t.Helper()
	l := startLoad(t, fmt.Sprintf("127.0.0.1:%d", p.port()))
	for range switches {
		l.more(t, 200)
		fresh := next(p)
		l.more(t, 200)
		retire(p)
		p.close()
		p = fresh
	}
	l.more(t, 200)
	l.end()
	p.close()
	if err := l.first.Load(); err != nil {
		t.Logf("first loss: %v", *err)
	}
	t.Logf("%d switches: %d connections answered, %d lost", switches, l.answered.Load(), l.lost.Load())
	return l.answered.Load(), l.lost.Load()
}

func TestRollingRestartLosesNothing(t *testing.T) {
	for _, host := range []string{"127.0.0.1", ""} {
		t.Run("on "+host, func(t *testing.T) {
			_, lost := roll(t, startProcess(t, host, 0),
				func(old *process) *process { return startProcess(t, host, old.port()) },
				func(old *process) {
					if others, err := old.set.Retire(t.Context(), settle); !others || err != nil {
						t.Fatalf("others %v, %v", others, err)
					}
				})
			if lost > 0 {
				t.Errorf("%d connections lost", lost)
			}
		})
	}
}

// A socket that both have, as with one of the service manager's, loses nothing without further ado.
func TestInheritedSocketLosesNothing(t *testing.T) {
	_, lost := roll(t, startProcess(t, "127.0.0.1", 0),
		func(old *process) *process { return old.inherit(t) },
		func(*process) {})
	if lost > 0 {
		t.Errorf("%d connections lost", lost)
	}
}

// What Retire is for: closed without it, a socket takes along what the kernel has given it.
func TestPlainCloseLosesWhatWaits(t *testing.T) {
	roll(t, startProcess(t, "127.0.0.1", 0), // for the log: how many depends on the machine
		func(old *process) *process { return startProcess(t, "127.0.0.1", old.port()) },
		func(*process) {})

	set := newSet(t, true)
	listeners, err := set.TCP(t.Context(), "devices", []string{"127.0.0.1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	old := listeners[0]
	c, err := net.Dial("tcp", old.Addr().String()) // is not accepted
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other := startProcess(t, "127.0.0.1", old.Addr().(*net.TCPAddr).Port)
	t.Cleanup(other.close) // after the connection's
	old.Close()
	c.SetDeadline(time.Now().Add(patience))
	_, writeErr := c.Write([]byte{1})
	_, readErr := io.ReadFull(c, make([]byte, 1))
	moved, err := os.ReadFile("/proc/sys/net/ipv4/tcp_migrate_req") // 1 = the kernel gives it to the other socket
	if err != nil {
		t.Fatal(err)
	}
	if lost := writeErr != nil || readErr != nil; lost == (moved[0] == '1') {
		t.Errorf("lost %v, with tcp_migrate_req %s: %v, %v", lost, moved, writeErr, readErr)
	}
}

// The newer process may be the one that stops, and the older one then has it all.
func TestNewerRetires(t *testing.T) {
	old := startProcess(t, "", 0)
	defer old.close()
	l := startLoad(t, fmt.Sprintf("[::1]:%d", old.port()))
	for range 3 {
		newer := startProcess(t, "", old.port())
		l.more(t, 200)
		if others, err := newer.set.Retire(t.Context(), settle); !others || err != nil {
			t.Fatalf("others %v, %v", others, err)
		}
		taken := newer.taken.Load()
		l.more(t, 200)
		if newer.taken.Load() != taken {
			t.Error("still gets connections")
		}
		newer.close()
	}
	l.end()
	if l.lost.Load() > 0 {
		t.Errorf("%d connections lost: %v", l.lost.Load(), *l.first.Load())
	}
}

func TestRetireAlone(t *testing.T) {
	p := startProcess(t, "", 0)
	defer p.close()
	for range 2 {
		if others, err := p.set.Retire(t.Context(), time.Hour); others || err != nil {
			t.Errorf("others %v, %v", others, err)
		}
	}
	if p.taken.Load() != 0 {
		t.Error("the probe is taken for a device")
	}
	if err := exchange(fmt.Sprintf("127.0.0.1:%d", p.port())); err != nil {
		t.Errorf("connections do not come any more: %v", err)
	}
}

func TestRetireEndsWithItsContext(t *testing.T) {
	p := startProcess(t, "127.0.0.1", 0)
	defer p.close()
	other := startProcess(t, "127.0.0.1", p.port())
	defer other.close()
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	if others, err := p.set.Retire(ctx, time.Hour); !others || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("others %v, %v", others, err)
	}
}

// Both kinds of listener find devices that are gone, and neither speaks more than plain TCP.
func TestKeepAlive(t *testing.T) {
	set := newSet(t, false)
	listeners, err := set.TCP(t.Context(), "devices", []string{"127.0.0.1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, listeners)
	own := &process{listener: listeners[0]}
	for _, l := range []*listener{own.listener.(*listener), {TCPListener: own.listener.(*listener).TCPListener, inherited: true}} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		raw, err := accepted.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var idle, count int
		err = onSocket(raw, func(fd int) (err error) {
			if idle, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); err != nil {
				return err
			}
			count, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
			return err
		})
		if err != nil || idle != 60 || count != 4 {
			t.Errorf("keep-alive after %d s, %d times, %v", idle, count, err)
		}
	}
}

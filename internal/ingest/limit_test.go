package ingest

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// failing is a listener that fails a number of times before each connection.
type failing struct {
	*ingesttest.Listener
	err error

	mu    sync.Mutex
	left  int
	times []time.Time
}

func (l *failing) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.times = append(l.times, time.Now())
	fail := l.left > 0
	l.left--
	l.mu.Unlock()
	if fail {
		return nil, l.err
	}
	return l.Listener.Accept()
}

// pauses are the times between one Accept and the next.
func (l *failing) pauses() (pauses []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.times[1:] {
		pauses = append(pauses, l.times[i+1].Sub(l.times[i]))
	}
	return pauses
}

var errTooManyFiles = fmt.Errorf("accept: %w", syscall.EMFILE)

// Without descriptors the server waits, longer from one try to the next, and then goes on.
func TestAcceptFailureBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &failing{Listener: ingesttest.NewListener(), err: errTooManyFiles, left: 12}
		s := newShell(t, l, 10)
		d := &device{shell: s, Conn: l.Dial()}
		defer d.Conn.Close()
		d.say("hello")
		if n := len(l.pauses()); n != 13 { // the last one is the wait for this connection
			t.Errorf("%d pauses, want 13", n)
		}
		for i, p := range l.pauses()[:12] {
			if want := min(minAcceptPause<<i, maxAcceptPause); p != want {
				t.Errorf("pause %d is %v, want %v", i+1, p, want)
			}
		}
		l.mu.Lock()
		l.times, l.left = nil, 1
		l.mu.Unlock()
		second := l.Dial() // is accepted by the Accept that waits already; the next one fails once
		defer second.Close()
		synctest.Wait()
		time.Sleep(minAcceptPause)
		synctest.Wait()
		if p := l.pauses(); len(p) != 1 || p[0] != minAcceptPause {
			t.Errorf("pauses after a success: %v", p)
		}
		if !s.log.Has("cannot accept connections", "too many open files") {
			t.Errorf("logged: %s", s.log)
		}
		s.stop()
	})
}

// Stopping does not wait for the next try.
func TestDrainDuringAcceptFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &failing{Listener: ingesttest.NewListener(), err: errTooManyFiles, left: 1 << 30}
		s := newShell(t, l, 10)
		time.Sleep(time.Minute)
		start := time.Now()
		s.stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("stopping took %v", took)
		}
	})
}

// The real thing: all descriptors of the process are in use, and the waiting connection is served once one is free.
func TestAcceptWithoutDescriptors(t *testing.T) {
	s := onSockets(t, 100)
	s.login("before").say("hello")
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// The client's socket exists before the descriptors are used up; connecting it needs none.
	client, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(client)
	few := syscall.Rlimit{Cur: uint64(client) + 1, Max: limit.Max} // all numbers up to the client's
	var filled []int
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	for {
		fd, err := syscall.Dup(client)
		if err != nil {
			break
		}
		filled = append(filled, fd)
	}
	restore := sync.OnceFunc(func() {
		for _, fd := range filled {
			syscall.Close(fd)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	defer restore()

	address := s.listener.Addr().(*net.TCPAddr)
	to := &syscall.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}
	if err := syscall.Connect(client, to); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(s, "the failure is logged", func() bool {
		return s.log.Has("cannot accept connections", "too many open files")
	})
	restore()
	if _, err := syscall.Write(client, []byte("hi\n")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 3)
	if n, err := syscall.Read(client, b); err != nil || string(b[:n]) != "hi\n" {
		t.Errorf("answer %q, %v", b[:n], err)
	}
}

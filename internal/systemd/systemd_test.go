//go:build linux

package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// manager is the service manager's end of the socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func listen(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}
}

func (m *manager) next() string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b[:n])
}

// environment stands in for os.Getenv.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "notify") }

func TestMessages(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     socketPath(t),
		"abstract": fmt.Sprintf("@tcp-ingestion-test-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			m := listen(t, socket)
			n := New(environment("NOTIFY_SOCKET="+socket), slog.New(slog.DiscardHandler))
			n.Ready()
			n.Status("ready,\n3 connections")
			n.Stopping(90 * time.Second)
			for _, want := range []string{"READY=1", "STATUS=ready, 3 connections",
				"STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=90000000"} {
				if got := m.next(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// TestReloadingTellsTheTime: the manager takes a reload for a new one by its time, of the clock since boot.
func TestReloadingTellsTheTime(t *testing.T) {
	socket := socketPath(t)
	m := listen(t, socket)
	n := New(environment("NOTIFY_SOCKET="+socket), slog.New(slog.DiscardHandler))
	reloading := func() time.Duration {
		n.Reloading()
		digits, ok := strings.CutPrefix(m.next(), "RELOADING=1\nMONOTONIC_USEC=")
		microseconds, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil {
			t.Fatalf("not a time: %q", digits)
		}
		return time.Duration(microseconds) * time.Microsecond
	}
	start := time.Now()
	first := reloading()
	if up := uptime(t); first <= 0 || first > up+time.Second {
		t.Errorf("%v since boot, machine is up %v", first, up)
	}
	for time.Since(start) < 20*time.Millisecond {
		time.Sleep(time.Millisecond) // time itself is what is measured
	}
	if passed := reloading() - first; passed < 10*time.Millisecond || passed > time.Since(start) {
		t.Errorf("%v passed, says %v", time.Since(start), passed)
	}
}

func uptime(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseFloat(strings.Fields(string(b))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

func TestWatchdogInterval(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		microseconds, pid string
		want              time.Duration
		wrong             bool
	}{
		{"", "", 0, false},
		{"30000000", "", 30 * time.Second, false},
		{"30000000", own, 30 * time.Second, false},
		{"30000000", own + "1", 0, false},
		{"1s", "", 0, true},
		{"0", "", 0, true},
		{"-5", own, 0, true},
		{"9223372036854775807", "", 0, true},
	} {
		got, err := watchdogInterval(environment("WATCHDOG_USEC="+c.microseconds, "WATCHDOG_PID="+c.pid))
		if got != c.want || (err != nil) != c.wrong {
			t.Errorf("%q for process %q: %v, %v", c.microseconds, c.pid, got, err)
		}
	}
}

// TestWatchdogIsFedOnLifeOnly: fed while the process proves that it lives, hungry when it does not, fed again after.
func TestWatchdogIsFedOnLifeOnly(t *testing.T) {
	socket := socketPath(t)
	m := listen(t, socket)
	var log bytes.Buffer // written by Watch only, read after it
	n := New(environment("NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=40000"), slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var dead atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Watch(ctx, func(ctx context.Context) error {
			if _, limited := ctx.Deadline(); !limited {
				return errors.New("may take for ever")
			}
			if dead.Load() {
				return errors.New("no answer")
			}
			return nil
		}, func() string {
			if dead.Load() {
				return "dead"
			}
			return "alive"
		})
	}()
	fed := func() {
		t.Helper()
		for m.next() != "WATCHDOG=1" {
		}
	}
	for range 3 {
		fed()
	}
	dead.Store(true)
	for m.next() != "STATUS=dead" { // a turn that had begun before may still feed
	}
	for range 3 {
		if message := m.next(); message != "STATUS=dead" {
			t.Errorf("%q from a process that is not alive", message)
		}
	}
	dead.Store(false)
	fed()
	cancel()
	<-ended
	if !strings.Contains(log.String(), "watchdog not fed") || !strings.Contains(log.String(), "no answer") {
		t.Errorf("does not say why the watchdog is hungry:\n%s", log.String())
	}
}

// TestWithoutAManager: nothing is sent, waited for or said.
func TestWithoutAManager(t *testing.T) {
	var log bytes.Buffer
	n := New(environment("WATCHDOG_USEC=1000"), slog.New(slog.NewTextHandler(&log, nil)))
	n.Ready()
	n.Reloading()
	n.Stopping(time.Second)
	n.Watch(t.Context(), func(context.Context) error { t.Error("asked for life"); return nil }, nil)
	if log.Len() > 0 {
		t.Error(log.String())
	}
}

func TestManagerThatCannotBeReached(t *testing.T) {
	for socket, says := range map[string]string{
		socketPath(t): "service manager not notified",
		"vsock:2:1":   "only unix sockets",
	} {
		var log bytes.Buffer
		New(environment("NOTIFY_SOCKET="+socket), slog.New(slog.NewTextHandler(&log, nil))).Ready()
		if !strings.Contains(log.String(), says) {
			t.Errorf("%s: %q does not say %q", socket, log.String(), says)
		}
	}
}

// TestManagerThatDoesNotRead: a full socket holds the process up for a moment only.
func TestManagerThatDoesNotRead(t *testing.T) {
	socket := socketPath(t)
	listen(t, socket)
	n := New(environment("NOTIFY_SOCKET="+socket), slog.New(slog.DiscardHandler))
	for range 100_000 {
		if err := n.write("READY=1"); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("the socket is never full")
}

package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// managerSocket is where a service manager would read.
func managerSocket(t *testing.T) (conn *net.UnixConn, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, path
}

// awaitMessage reads until a message begins with the prefix; what may come before it are those of the watch.
func awaitMessage(t *testing.T, conn *net.UnixConn, prefix string) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	for {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("waiting for %s: %v", prefix, err)
		}
		message := string(b[:n])
		if strings.HasPrefix(message, prefix) {
			return message
		}
		if !strings.HasPrefix(message, "STATUS=") && message != "WATCHDOG=1" {
			t.Fatalf("%q, want %s", message, prefix)
		}
	}
}

// TestServiceManager: what systemd is told in a server's life.
func TestServiceManager(t *testing.T) {
	conn, socket := managerSocket(t)
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "200000"})
	awaitMessage(t, conn, "READY=1")
	if devices, err := net.Dial("tcp", s.devices); err != nil {
		t.Errorf("ready, but devices cannot connect: %v", err)
	} else {
		defer devices.Close()
	}
	s.get("/healthz")
	for range 3 {
		awaitMessage(t, conn, "WATCHDOG=1")
	}
	testkit.Eventually(t, "the status counts connections", func() bool {
		return strings.HasPrefix(awaitMessage(t, conn, "STATUS="), "STATUS=ready, 1 connection on "+s.devices)
	})
	s.cmd.Process.Signal(syscall.SIGHUP)
	awaitMessage(t, conn, "RELOADING=1\nMONOTONIC_USEC=")
	awaitMessage(t, conn, "READY=1")
	s.cmd.Process.Signal(syscall.SIGTERM)
	awaitMessage(t, conn, "STOPPING=1")
	if code := s.stop(syscall.Signal(0), patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestNotReadyWithoutListeners: a port in use is told by the exit code, and never as ready.
func TestNotReadyWithoutListeners(t *testing.T) {
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	_, port, _ := net.SplitHostPort(used.Addr().String())
	conn, socket := managerSocket(t)
	code, _, errOut := execute(t, map[string]string{"DATA_DIR": t.TempDir(), "NOTIFY_SOCKET": socket,
		"BIND_ADDRESS": "127.0.0.1", "TELTONIKA_PORT": port, "METRICS_PORT": "0", "ADMIN_ADDRESS": ""}, "", "serve")
	if code != 1 {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	conn.SetReadDeadline(time.Now())
	if n, err := conn.Read(make([]byte, 100)); err == nil {
		t.Errorf("the service manager got %d bytes", n)
	}
}

// TestAliveNeedsAnAnswer: an HTTP listener to which only the kernel answers is no life.
func TestAliveNeedsAnAnswer(t *testing.T) {
	c, err := config.Load(func(name string) string {
		return map[string]string{"DATA_DIR": t.TempDir(), "TELTONIKA_PORT": "0", "METRICS_PORT": "0", "ADMIN_ADDRESS": "off",
			"BIND_ADDRESS": "127.0.0.1"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(c, slog.New(slog.DiscardHandler), new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	limit := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	if err := s.alive(limit(patience)); err != nil {
		t.Errorf("not alive: %v", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	serving := s.opsAddress
	s.opsAddress = silent.Addr()
	if err := s.alive(limit(100 * time.Millisecond)); err == nil {
		t.Error("alive without an answer")
	}
	s.opsAddress = serving
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := s.alive(limit(patience)); err == nil {
		t.Error("alive after its end")
	}
}

package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

func TestEndingsRunBackwards(t *testing.T) {
	var parts endings
	var ended []int
	for i := range 3 {
		parts.add(func(context.Context) error { ended = append(ended, i); return nil })
	}
	for range 2 { // the second time there is nothing left
		if err := parts.run(t.Context()); err != nil || !slices.Equal(ended, []int{2, 1, 0}) {
			t.Fatalf("ended %v, %v", ended, err)
		}
	}
}

// TestFailedStartLeavesNothingOpen: a start that fails at its last port ends all that it has begun: no goroutine is
// left, and its other ports are free.
func TestFailedStartLeavesNothingOpen(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	taken, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	settings := map[string]string{
		"DATA_DIR": filepath.Join(t.TempDir(), "data"), "METRICS_PORT": "0", "ADMIN_ADDRESS": "127.0.0.1:0",
		"TELTONIKA_PORT": portText(free.Addr()), "TLS_PORT": portText(taken.Addr()),
		"TLS_CERT_FILE": ca.path("server.crt"), "TLS_KEY_FILE": ca.path("server.key"),
	}
	c, err := config.Load(func(name string) string { return settings[name] })
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(c, slog.New(slog.DiscardHandler), new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.start(t.Context()); err == nil {
		t.Fatal("started on a port that is taken")
	}
	for _, address := range []net.Addr{s.opsAddress, s.commands.address, free.Addr()} {
		l, err := net.Listen("tcp", address.String())
		if err != nil {
			t.Errorf("still open: %v", err)
			continue
		}
		l.Close()
	}
}

func portText(a net.Addr) string { _, port, _ := net.SplitHostPort(a.String()); return port }

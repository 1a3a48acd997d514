package main

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// A login on a connection that has had one: the same is answered, and after another one everybody, inside and outside
// of the process, takes the connection for the new device's.
func TestSecondLoginOnOneConnection(t *testing.T) {
	p := startPlatform(t)
	s := p.start("one")
	d := testkit.Dial(t, s.devices)
	d.MustLogin(first)
	d.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1_760_000_000_000})
	d.ExpectACK(1)
	d.MustLogin(first)
	d.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1_760_000_001_000})
	d.ExpectACK(1)
	p.wantRegistered(first, "one")

	elsewhere := testkit.Dial(t, s.devices)
	elsewhere.MustLogin(second)
	p.wantRegistered(second, "one")
	d.MustLogin(second)
	elsewhere.ExpectClosed()
	d.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1_760_000_002_000})
	d.ExpectACK(1)
	p.wantRegistered(first, "")
	p.wantRegistered(second, "one")
	s.wantMetric("teltonika_connections_active", 1)
	var stored []string
	for _, payload := range streamPayloads(t, p.Redis) {
		id, _, _ := strings.Cut(strings.TrimPrefix(payload, `{"device_id":"`), `"`)
		stored = append(stored, id)
	}
	if !slices.Equal(stored, []string{first, first, second}) {
		t.Errorf("stored for %v", stored)
	}

	// What was ordered for the first device waits for it and does not reach the second.
	p.order("commands:outbound:one", "a", first, "getinfo")
	p.order("commands:outbound:one", "b", second, "getver")
	if got := hex.EncodeToString(d.ReadFrame()); !strings.Contains(got, hex.EncodeToString([]byte("getver"))) {
		t.Errorf("the second device gets %s", got)
	}
	back := testkit.Dial(t, s.devices)
	back.MustLogin(first)
	back.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1_760_000_003_000})
	back.ExpectACK(1)
	d.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1_760_000_004_000})
	d.ExpectACK(1)
}

// However often a device was refused or closed before, its login is answered within 2 s, and when it has been put on
// the list it is let in at once.
func TestLoginAfterManyRefusals(t *testing.T) {
	settings, path := fileAllowList(t, "true", first+"\n")
	s := startServer(t, settings)
	answered := func(want byte) time.Duration {
		begin := time.Now()
		d := login(t, s, second, want)
		d.Close()
		return time.Since(begin)
	}
	for range 5 {
		if took := answered(teltonika.LoginRefuse); took > 15*time.Second { // 2 s, and what a busy machine takes
			t.Errorf("refused after %v", took)
		}
	}
	if err := os.WriteFile(path+".new", []byte(first+"\n"+second+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	testkit.Eventually(t, "the list is read", func() bool {
		return strings.Contains(s.tail(50), `"devices":2,"before":1`)
	})
	quickest := patience
	for range 3 { // a delay would be there each time, what a busy machine does is not
		quickest = min(quickest, answered(teltonika.LoginAccept))
	}
	if quickest > time.Second {
		t.Errorf("let in after %v at the soonest", quickest)
	}
}

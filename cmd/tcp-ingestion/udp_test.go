package main

import (
	"maps"
	"strconv"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// withUDP are the settings of a server that takes datagrams on the port of its connections.
func withUDP(t testing.TB, settings map[string]string) map[string]string {
	port := strconv.Itoa(testkit.FreePort(t))
	all := maps.Clone(settings)
	all["TELTONIKA_PORT"], all["UDP_PORT"] = port, port
	return all
}

// stormy is a fleet over a network that loses a fifth of what is sent either way, doubles and reorders.
func stormy(o *simulate.Options) {
	moderate(o)
	o.Transport = simulate.UDP
	o.ResponseTimeout = 300 * time.Millisecond
	o.Loss, o.Duplicate, o.Reorder, o.ReorderDelay = 0.2, 0.2, 0.2, 20*time.Millisecond
}

// TestUDPStorm: whatever the network does to datagrams, every record that is acknowledged is stored, and none twice.
func TestUDPStorm(t *testing.T) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { return redisStore(t) }, embeddedStore,
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, withUDP(t, store.settings))
			f := startFleet(t, s.devices, 100, stormy)
			f.awaitProgress(t, 10_000)
			ledger := f.end(t)
			if ledger.DatagramsLost == 0 || ledger.DatagramsCopied == 0 || ledger.DatagramsDelayed == 0 {
				t.Errorf("a calm storm: %+v", ledger)
			}
			if s.series("teltonika_records_published_total", `transport="udp"`, `codec="8"`) == 0 {
				t.Error("no records counted as udp")
			}
			s.wantBalance()
			if code := s.stop(syscall.SIGTERM, patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
			store.wantAll(t, f.acknowledged(), false)
		})
	}
}

// TestKillServerUnderDatagrams is TestKillServer over UDP, where nothing tells the devices that the server has gone.
func TestKillServerUnderDatagrams(t *testing.T) {
	t.Parallel()
	store := embeddedStore(t)
	settings := withUDP(t, store.settings)
	s := startServer(t, settings)
	f := startFleet(t, s.devices, 80, stormy)
	rounds := 0
	for end := time.Now().Add(crashTime(t)); time.Now().Before(end); rounds++ {
		f.awaitProgress(t, 500+rounds*37%500)
		s.kill()
		s = startServer(t, settings)
	}
	f.awaitProgress(t, 500)
	f.end(t)
	s.wantBalance()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("%d kills", rounds)
	store.wantAll(t, f.acknowledged(), false)
}

package main

import (
	"encoding/json"
	"maps"
	"net"
	"slices"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestMirrorKilled: the old platform is another instance of ours. It is killed, then the service with frames in its
// mirror's buffer; in the end both have the same records.
func TestMirrorKilled(t *testing.T) {
	t.Parallel()
	oldStore, newStore := embeddedStore(t), embeddedStore(t)
	old := startServer(t, oldStore.settings)
	settings := maps.Clone(newStore.settings)
	settings["MIRROR"] = old.devices
	s := startServer(t, settings)

	var next uint64
	records := func(n int) (all []teltonika.Record) {
		for range n {
			next++
			all = append(all, teltonika.Record{Timestamp: recordTime + 1000*next})
		}
		return all
	}
	send := func(frames int) {
		d := testkit.Dial(t, s.devices)
		d.MustLogin(first)
		for range frames {
			d.SendFrame(teltonika.Codec8E, records(3)...)
			d.ExpectACK(3)
		}
		d.Close()
	}
	send(10)
	testkit.Eventually(t, "the old platform has the first frames", func() bool {
		return s.metric(`teltonika_mirror_frames_total{result="acknowledged"}`) == 10
	})
	old.kill()
	send(20)
	testkit.Eventually(t, "the buffer has the rest", func() bool {
		return s.metric("teltonika_mirror_waiting_frames") == 20
	})
	if status, body := s.get("/readyz"); status != 200 {
		t.Errorf("not ready while the old platform is away: %s", body)
	}
	s = s.reborn(settings)
	if n := s.metric("teltonika_mirror_waiting_frames"); n != 20 {
		t.Errorf("%v frames wait after kill -9, want 20", n)
	}
	send(5)

	_, port, err := net.SplitHostPort(old.devices)
	if err != nil {
		t.Fatal(err)
	}
	again := maps.Clone(oldStore.settings)
	again["TELTONIKA_PORT"] = port
	old = startServer(t, again)
	testkit.EventuallyIn(t, "both have the same", patience, func() bool {
		return s.metric("teltonika_mirror_waiting_frames") == 0
	})
	here, there := ids(t, newStore), ids(t, oldStore)
	if len(here) != 105 || !slices.Equal(here, there) {
		t.Errorf("%d records here and %d at the old platform, want the same 105 in one order", len(here), len(there))
	}
	if n := s.metric("teltonika_mirror_dropped_total"); n != 0 {
		t.Errorf("%v frames are dropped", n)
	}
	old.wantBalance()
}

// TestMirrorTakesDescriptors: without MAX_CONNECTIONS all devices and their mirror's connections find room.
func TestMirrorTakesDescriptors(t *testing.T) {
	c := new(config.Config)
	without := maxConnections(c)
	c.Mirror.Address = "traccar.example:5027"
	if n := maxConnections(c); n < without/2-mirrorDescriptors || deviceDescriptors(c) > without {
		t.Errorf("%d devices take %d descriptors, without a mirror %d", n, deviceDescriptors(c), without)
	}
}

// ids are those of a store's records, in its order.
func ids(t *testing.T, s store) (all []string) {
	t.Helper()
	for _, payload := range s.payloads(t) {
		var r struct{ ID string }
		if err := json.Unmarshal([]byte(payload), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r.ID)
	}
	return all
}

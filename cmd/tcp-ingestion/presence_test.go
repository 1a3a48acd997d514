package main

import (
	"encoding/json"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// presence is what `devices --all` says of the device, of any instance.
func (s *server) presence(imei string) (p device.Presence) {
	s.t.Helper()
	code, out, errOut := execute(s.t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "devices", "--json", "--all",
		"--imei", imei)
	if code != 0 {
		if !strings.Contains(errOut, "never seen") {
			s.t.Errorf("devices: exit code %d: %s", code, errOut)
		}
		return p
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		s.t.Fatalf("%s: %v", out, err)
	}
	return p
}

// awaitPresence waits until what is said of the device is so.
func (s *server) awaitPresence(what, imei string, is func(*device.Presence) bool) device.Presence {
	s.t.Helper()
	var last device.Presence
	testkit.EventuallyIn(s.t, what, patience, func() bool {
		last = s.presence(imei)
		return is(&last)
	})
	return last
}

// TestPresenceAtAnyInstance: each instance answers for the devices of the other one, also after they have left, and
// after that instance has died.
func TestPresenceAtAnyInstance(t *testing.T) {
	t.Parallel()
	two := startTwo(t)
	one, stays := two.a.connect(first), two.a.connect(second)
	at := func(instance string) func(*device.Presence) bool {
		return func(p *device.Presence) bool { return p.Connected && p.Instance == instance }
	}
	two.b.awaitPresence("the other instance's device", first, at("a"))
	two.b.awaitPresence("the other instance's device", second, at("a"))
	_, out, _ := execute(t, map[string]string{"ADMIN_ADDRESS": two.b.admin}, "", "devices")
	if n := strings.Count(out, " connected "); n != 2 || !strings.Contains(out, first) {
		t.Errorf("devices:\n%s", out)
	}
	two.b.order(first, asks("from-there", "getinfo"))
	one.Answer(one.ExpectCommand("getinfo"), "INFO:1")
	two.b.result(first, "from-there", command.Answered)

	one.Close()
	isGone := func(p *device.Presence) bool { return !p.Connected && p.CloseReason == "peer_closed" }
	two.a.awaitPresence("it has left", first, isGone)
	p := two.b.awaitPresence("it has left there", first, isGone)
	if p.Counts.Stored != 1 || p.LastRecord == nil || p.Logins != 1 || p.ClosedAt.IsZero() {
		t.Errorf("%+v", p)
	}
	two.b.connect(first)
	two.a.awaitPresence("it is at the other one", first, at("b"))

	run := two.b.presence(second)
	two.a.kill()
	stays.ExpectClosed()
	two.control.Do("ZADD", "devices:instances", "XX", time.Now().Add(-2*time.Minute).UnixMilli(), run.Run())
	p = two.b.awaitPresence("its instance is missed", second, func(p *device.Presence) bool { return !p.Connected })
	if age := time.Since(p.InstanceLost.Time); age < time.Minute || age > 5*time.Minute || p.Instance != "a" {
		t.Errorf("%+v", p)
	}
}

// TestPresenceAfterRestart: what is known of a device is known after a restart, and after a kill, in which its end is
// not seen.
func TestPresenceAfterRestart(t *testing.T) {
	t.Parallel()
	settings := maps.Clone(embeddedStore(t).settings)
	settings["INSTANCE_ID"] = "gate"
	s := startServer(t, settings)
	if p := s.presence(first); !p.FirstSeen.IsZero() {
		t.Errorf("seen before it came: %+v", p)
	}
	d := s.connect(first)
	record := teltonika.Record{Timestamp: uint64(time.Now().UnixMilli()), Latitude: 546674250, Longitude: 252560283,
		Satellites: 9}
	for range 2 {
		d.SendFrame(teltonika.Codec8E, record)
		d.ExpectACK(1)
	}
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s = startServer(t, settings)
	p := s.presence(first)
	if p.Connected || p.CloseReason != "shutdown" || p.Counts.Stored != 2 || p.Since.Duplicate != 1 ||
		p.LastRecord == nil || p.LastRecord.Fix != "ok" || !p.InstanceLost.IsZero() {
		t.Errorf("after a restart: %+v", p)
	}
	s.connect(first)
	testkit.EventuallyIn(t, "it is saved", patience, func() bool {
		return s.metric(`teltonika_device_store_calls_total{call="save",result="ok"}`) > 0
	})
	s = s.reborn(settings)
	p = s.presence(first)
	kept := p.Counts.Stored // the login may have been saved before its record came
	if p.Connected || p.InstanceLost.IsZero() || p.Logins != 2 || kept != 2 && kept != 3 {
		t.Errorf("after a kill: %+v", p)
	}
	s.connect(first)
	s.awaitPresence("it is back, and nothing is forgotten", first, func(p *device.Presence) bool {
		return p.Connected && p.InstanceLost.IsZero() && p.Logins == 3 && p.Counts.Stored == kept+1
	})
}

package main

import (
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// twoInstances are on a Redis for the records, with a control Redis of their own.
type twoInstances struct {
	control platform
	a, b    *server
}

func startTwo(t *testing.T) twoInstances {
	records, control := testkit.StartRedis(t), startPlatform(t)
	start := func(instance string) *server {
		settings := control.settings(instance)
		settings["REDIS_URL"], settings["CONTROL_REDIS_URL"] = records.URL(), control.URL()
		return startServer(t, settings)
	}
	return twoInstances{control, start("a"), start("b")}
}

// wantTakenOver waits until the instance has closed a connection because the device has a newer one.
func (s *server) wantTakenOver(closed float64) {
	s.t.Helper()
	testkit.EventuallyIn(s.t, "the older connection is closed", patience, func() bool {
		return s.series("teltonika_connections_closed_total", `reason="taken_over"`) == closed
	})
}

// reports sends a record and wants its ACK.
func reports(d *testkit.Tracker, timestamp uint64) {
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: timestamp})
	d.ExpectACK(1)
}

// TestNewestLoginWinsEverywhere has a device go to the other instance and back while all of its connections are open,
// and another one stay.
func TestNewestLoginWinsEverywhere(t *testing.T) {
	t.Parallel()
	two := startTwo(t)
	stays := two.a.connect(second)
	one := two.a.connect(first)
	two.control.wantRegistered(first, "a")
	two.control.someTimeLater()
	elsewhere := two.b.connect(first)
	one.ExpectClosed()
	two.a.wantTakenOver(1)
	two.control.wantRegistered(first, "b")
	two.control.someTimeLater()
	back := two.a.connect(first)
	elsewhere.ExpectClosed()
	two.b.wantTakenOver(1)
	two.control.wantRegistered(first, "a")
	reports(back, 1_700_000_000_000)
	reports(stays, 1_700_000_000_000)
	two.control.order("commands:inbox", "there", first, "getver")
	back.Answer(back.ExpectCommand("getver"), "here")
	two.control.response("there", "answered")
}

// TestTakeOverFromAFrozenInstance has the device go on elsewhere while its instance is frozen.
func TestTakeOverFromAFrozenInstance(t *testing.T) {
	t.Parallel()
	two := startTwo(t)
	older := two.a.connect(first)
	two.control.wantRegistered(first, "a")
	two.a.cmd.Process.Signal(syscall.SIGSTOP)
	two.control.someTimeLater()
	newer := two.b.connect(first)
	two.control.wantRegistered(first, "b")
	two.a.cmd.Process.Signal(syscall.SIGCONT)
	older.ExpectClosed()
	two.a.wantTakenOver(1)
	reports(newer, 1_700_000_000_000)
	two.control.wantRegistered(first, "b")
}

// TestTakeOverFromAKilledInstance has the registry not wait for the end of the dead one's heartbeat.
func TestTakeOverFromAKilledInstance(t *testing.T) {
	t.Parallel()
	two := startTwo(t)
	two.a.connect(first)
	two.control.wantRegistered(first, "a")
	two.a.kill()
	two.control.someTimeLater()
	newer := two.b.connect(first)
	two.control.wantRegistered(first, "b")
	reports(newer, 1_700_000_000_000)
}

// TestTakeOverWhileTheControlRedisIsAway has both connections be served as long as nobody can say which one is newer.
func TestTakeOverWhileTheControlRedisIsAway(t *testing.T) {
	t.Parallel()
	two := startTwo(t)
	older := two.a.connect(first)
	two.control.wantRegistered(first, "a")
	two.control.someTimeLater()
	two.control.Freeze()
	newer := two.b.connect(first)
	reports(older, 1_700_000_000_000)
	reports(newer, 1_700_000_001_000)
	two.control.Thaw()
	older.ExpectClosed()
	two.a.wantTakenOver(1)
	two.control.wantRegistered(first, "b")
	reports(newer, 1_700_000_002_000)
}

package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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
	testkit.Freeze(t, two.a.cmd.Process.Pid)
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

// TestResendIsKnownElsewhere has each device's ACK be lost, and the frame be sent again at the other instance: by
// devices that hop from one to the other for a while, all at once.
func TestResendIsKnownElsewhere(t *testing.T) {
	t.Parallel()
	const devices, frames, recordsPerFrame = 50, 10, 5
	store := redisStore(t)
	start := func(instance string) *server {
		settings := maps.Clone(store.settings)
		settings["INSTANCE_ID"] = instance
		return startServer(t, settings)
	}
	at := []*server{start("a"), start("b")}
	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			for f := range frames {
				frame := numberedFrame(t, f, recordsPerFrame)
				for n := range 3 { // at one, at the other, and back
					device := testkit.Dial(t, at[(d+f+n)%2].devices)
					device.MustLogin(fmt.Sprintf("35730704244%04d", d))
					device.Send(frame)
					device.ExpectACK(recordsPerFrame)
					device.Close()
				}
			}
		})
	}
	wg.Wait()
	stored := store.stored(t)
	if len(stored) != devices*frames*recordsPerFrame {
		t.Errorf("%d records stored, want %d", len(stored), devices*frames*recordsPerFrame)
	}
	for id, n := range stored {
		if n != 1 {
			t.Errorf("%s stored %d times", id, n)
		}
	}
	for _, s := range at {
		s.wantBalance()
	}
}

// TestFrozenInstanceStoresNothingTwice has an instance be frozen with two devices' frames in its sockets, which they
// send again elsewhere meanwhile, with later ones. For one it is the first frame of its connection, as for a device
// that has just come. That one comes back afterwards.
func TestFrozenInstanceStoresNothingTwice(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	start := func(instance string) *server {
		settings := maps.Clone(store.settings)
		settings["INSTANCE_ID"] = instance
		return startServer(t, settings)
	}
	a, b := start("a"), start("b")
	older := testkit.Dial(t, a.devices)
	older.MustLogin(first)
	fresh := testkit.Dial(t, a.devices)
	fresh.MustLogin(second)
	const known = 10
	for f := range known {
		older.Send(numberedFrame(t, f, 2))
		older.ExpectACK(2)
	}
	testkit.Freeze(t, a.cmd.Process.Pid)
	older.Send(numberedFrame(t, known, 2))
	fresh.Send(numberedFrame(t, 0, 2))
	const later = 8 // more than a mark has
	for _, imei := range []string{first, second} {
		newer := testkit.Dial(t, b.devices)
		newer.MustLogin(imei)
		for f := range later {
			if imei == first {
				f += known
			}
			newer.Send(numberedFrame(t, f, 2))
			newer.ExpectACK(2)
		}
	}
	time.Sleep(3 * time.Second) // for as long it has to be frozen to notice it
	a.cmd.Process.Signal(syscall.SIGCONT)
	for _, left := range []*testkit.Tracker{older, fresh} {
		left.Conn.SetReadDeadline(time.Now().Add(patience))
		if answer, err := io.ReadAll(left.Conn); os.IsTimeout(err) || len(answer) > 0 {
			t.Errorf("the older connection stays open, or acknowledges %x", answer)
		}
	}
	for attempt := range 2 { // the first one may be refused, because it may have been left behind
		if err := deliver(a.devices, second, numberedFrame(t, later, 2)); err == nil {
			break
		} else if attempt > 0 {
			t.Error(err)
		}
	}
	testkit.EventuallyIn(t, "no frame in hand", patience, func() bool {
		return a.metric("teltonika_publish_queue_depth") == 0
	})
	stored := store.stored(t)
	if want := 2 * (known + later + later + 1); len(stored) != want {
		t.Errorf("%d records stored, want %d", len(stored), want)
	}
	for id, n := range stored {
		if n != 1 {
			t.Errorf("%s stored %d times", id, n)
		}
	}
}

// TestKillInstancesInTurn has devices send each frame to one instance and again to the other, until each has
// acknowledged it, while the instances are killed and started again in turn.
func TestKillInstancesInTurn(t *testing.T) {
	t.Parallel()
	const devices, recordsPerFrame = 40, 5
	store := redisStore(t)
	start := func(instance, port string) *server {
		settings := maps.Clone(store.settings)
		settings["INSTANCE_ID"] = instance
		if port != "" {
			settings["TELTONIKA_PORT"] = port
		}
		return startServer(t, settings)
	}
	at := []*server{start("a", ""), start("b", "")}
	addresses := []string{at[0].devices, at[1].devices}
	var wg sync.WaitGroup
	var sent [devices]int // frames that both instances have acknowledged
	end := time.Now().Add(crashTime(t) / 2)
	for d := range devices {
		wg.Go(func() {
			imei := fmt.Sprintf("35730704244%04d", d)
			for ; time.Now().Before(end); sent[d]++ {
				frame := numberedFrame(t, sent[d], recordsPerFrame)
				for n := range addresses {
					for deliver(addresses[(sent[d]+n)%2], imei, frame) != nil {
						time.Sleep(20 * time.Millisecond) // as a device that comes back
					}
				}
			}
		})
	}
	kills := 0
	for ; time.Now().Before(end); kills++ {
		time.Sleep(300 * time.Millisecond) // of hopping between two kills
		_, port, _ := strings.Cut(addresses[kills%2], ":")
		at[kills%2].kill()
		at[kills%2] = start([]string{"a", "b"}[kills%2], port)
	}
	wg.Wait()
	frames, copies, stored := 0, 0, store.stored(t)
	for d := range devices {
		frames += sent[d]
	}
	for _, n := range stored {
		copies += n - 1
	}
	t.Logf("%d kills, %d records acknowledged by both, %d stored, %d copies",
		kills, frames*recordsPerFrame, len(stored), copies)
	if len(stored) != frames*recordsPerFrame || copies > 0 {
		t.Errorf("%d records stored and %d copies, want %d and none", len(stored), copies, frames*recordsPerFrame)
	}
}

// deliver sends the frame over a connection of its own, and waits for its ACK.
func deliver(address, imei string, frame []byte) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	answer := make([]byte, 4)
	if _, err := conn.Write(append([]byte{0, byte(len(imei))}, imei...)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer[:1]); err != nil {
		return err
	}
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, answer)
	return err
}

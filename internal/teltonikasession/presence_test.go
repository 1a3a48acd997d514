package teltonikasession

import (
	"testing"
	"testing/synctest"
	"time"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// presence is what is known of the device.
func (s *service) presence(imei string) devices.Presence {
	s.Helper()
	synctest.Wait()
	p, seen := s.adapter.Devices.Presence(imei)
	if !seen {
		s.Errorf("%s was never seen", imei)
	}
	return p
}

func (s *service) expectCounts(total, since devices.Counts) {
	s.Helper()
	if p := s.presence(imei); p.Counts != total || p.Since != since {
		s.Errorf("counts %+v, since a record was stored %+v, want %+v and %+v", p.Counts, p.Since, total, since)
	}
}

// Every fate of a frame is counted, in all and since a record was stored.
func TestPresenceCounts(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		frame := goodFrame(3)
		d.send(frame)
		s.expectCounts(devices.Counts{Stored: 3}, devices.Counts{})
		d.send(frame)
		d.send(bodyFrame(0x08, 0, 0))
		d.send(malformed(2))
		d.send(wrongCRC(frame))
		d.send(messageFrame(t, teltonika.Codec12, 6, "serial data"))
		since := devices.Counts{Duplicate: 3, Repeated: 1, EmptyFrames: 1, DeadLettered: 2, WrongCRC: 1, Messages: 1}
		total := since
		total.Stored = 3
		s.expectCounts(total, since)
		s.engine.Fail(failWith(&engine.Error{Err: errEngine}))
		d.send(goodFrame(4))
		since.Refused, since.RefusedReason, total.Refused, total.RefusedReason = 4, "engine", 4, "engine"
		s.expectCounts(total, since)
		s.engine.Fail(nil)
		d.answers()
		d.expectAlive()
		total.Stored += 2
		s.expectCounts(total, devices.Counts{})
	}, withDevices)
}

// The last record is the one with the latest time of the last frame that is stored.
func TestPresenceOfTheLastRecord(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		records := fresh(3)
		records[1].Timestamp += uint64(time.Hour.Milliseconds())
		records[1].Satellites = 0
		d.send(frameOf(teltonika.Codec8E, records...))
		p := s.presence(imei)
		want := devices.LastRecord{Timestamp: devices.Time{Time: time.UnixMilli(int64(records[1].Timestamp))}, Fix: "stale",
			Clock: "future", Latitude: 546674250, Longitude: 252560283, Speed: 42}
		if p.LastRecord == nil || *p.LastRecord != want {
			t.Errorf("last record %+v, want %+v", p.LastRecord, want)
		}
		if p.LastStored.IsZero() || p.Codec != "8E" || p.Frames != 1 || p.Records != 3 {
			t.Errorf("%+v", p)
		}
	}, withDevices)
}

// The last error says what was wrong, with the first bytes.
func TestPresenceOfTheLastError(t *testing.T) {
	frame, future := goodFrame(3), fresh(1)
	future[0].Timestamp = record.MaxTimestamp + 1
	for cause, bytes := range map[string][]byte{
		devices.CauseCRC:    wrongCRC(frame),
		"malformed":         malformed(2),
		"timestamp":         frameOf(teltonika.Codec8E, future...),
		"unknown_codec":     bodyFrame(0x55, 1, 2, 3),
		"bad_frame":         append([]byte{1}, frame...),
		devices.CauseCutOff: frame[:20],
	} {
		t.Run(cause, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				d.send(bytes)
				pass(2 * time.Minute)
				e := s.presence(imei).LastError
				if e == nil || e.Cause != cause || e.Text == "" || len(e.First) == 0 || len(e.First) > devices.MaxFirst {
					t.Fatalf("error %+v", e)
				}
				if got, want := string(e.First[:8]), string(bytes[:8]); got != want {
					t.Errorf("first bytes %x, want %x", got, want)
				}
			}, withDevices)
		})
	}
}

// A device that has left is known with its last connection, and why that ended.
func TestPresenceAfterTheEnd(t *testing.T) {
	serve(t, func(s *service) {
		if _, seen := s.adapter.Devices.Presence(imei); seen {
			t.Error("seen before it came")
		}
		begin := time.Now()
		d := s.loginAs(imei)
		p := s.presence(imei)
		if !p.Connected || p.Transport != "tcp" || p.Logins != 1 || !p.ConnectedAt.Equal(begin) || p.Instance != instance ||
			p.Login.Answer != devices.LoginAccepted {
			t.Errorf("connected: %+v", p)
		}
		d.conn.Close()
		p = s.presence(imei)
		if p.Connected || p.CloseReason != "peer_closed" || p.ClosedAt.IsZero() || !p.FirstSeen.Equal(begin) {
			t.Errorf("gone: %+v", p)
		}
		s.login()
		if p = s.presence(imei); !p.Connected || p.CloseReason != "" || p.Logins != 2 || p.TakenOver != 0 {
			t.Errorf("back: %+v", p)
		}
	}, withDevices)
}

// Two devices with one IMEI take over from each other: how often, and from where, can be seen.
func TestPresenceOfTwoDevicesWithOneIMEI(t *testing.T) {
	serve(t, func(s *service) {
		const times = 12
		for i := range times {
			d := s.dialFrom([]string{"192.0.2.1", "198.51.100.1"}[i%2])
			d.send(loginOf(imei))
			pass(10 * time.Second)
			d.expect("01")
		}
		p := s.presence(imei)
		if !p.Connected || p.Logins != times || p.TakenOver != times-1 || len(p.TakeOvers) != 8 {
			t.Fatalf("%+v", p)
		}
		for i, o := range p.TakeOvers {
			want := []string{"198.51.100.1:40000", "192.0.2.1:40000"}[i%2]
			if o.From != want && p.TakeOvers[i^1].From != want || o.Instance != instance {
				t.Errorf("take-over %d: %+v", i, o)
			}
		}
	}, withDevices)
}

// What datagrams say in a device's name stands apart from what is known of its connections.
func TestPresenceByDatagrams(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.send(datagramOf(imei, 7, goodFrame(2)))
		s.expect(answerTo(7, 2))
		p := s.presence(imei)
		if !p.Claimed || !p.Connected || p.Transport != "udp" || p.Address != home.String() || p.Counts.Stored != 2 ||
			p.LastRecord == nil || p.Frames != 1 {
			t.Errorf("by datagrams only: %+v", p)
		}
		pass(idleTimeout + time.Second)
		if p := s.presence(imei); p.Connected {
			t.Error("connected although it has been silent for long")
		}
		s.login()
		s.send(datagramOf(imei, 8, malformed(2)))
		synctest.Wait()
		p = s.presence(imei)
		if p.Claimed || p.Transport != "tcp" || p.Counts != (devices.Counts{}) || p.LastError != nil || p.Datagrams == nil ||
			p.Datagrams.LastError == nil || p.Datagrams.Counts.DeadLettered != 2 {
			t.Errorf("by both: %+v, %+v", p, p.Datagrams)
		}
	}, withDevices)
}

// A login that is refused is told of, and is nothing that the device has done.
func TestPresenceOfRejectedLogins(t *testing.T) {
	servePackets(t, func(s *packetService) {
		for range 2 {
			d := s.dial()
			d.send(loginOf(spoofed(1)))
			pass(2 * time.Second)
			d.expectClosed("00")
		}
		s.send(datagramOf(spoofed(2), 7, goodFrame(2)))
		for i, rejected := range []uint64{2, 1} {
			p := s.presence(spoofed(i + 1))
			want := devices.Login{At: p.Login.At, Answer: devices.LoginRejected, Reason: devices.LoginNotListed,
				Address: p.Login.Address}
			if p.Connected || p.Login != want || p.Rejected != rejected || p.Logins != 0 || p.FirstSeen.IsZero() {
				t.Errorf("%+v", p)
			}
		}
		if n := s.adapter.Devices.Len(); n != 0 {
			t.Errorf("%d devices", n)
		}
	}, withDevices, func(o *Options) { o.StrictAuth, o.Listed = true, true })
}

// Two devices with one IMEI have to wait for their logins, from the third take-over in a minute on, and no longer.
func TestTwoDevicesWithOneIMEIWait(t *testing.T) {
	serve(t, func(s *service) {
		logIn := func(answer string) *tracker {
			d := s.dial()
			d.send(loginOf(imei))
			d.expect(answer)
			return d
		}
		for range 4 {
			logIn("01").expectAlive()
		}
		d := logIn("")
		pass(maxLoginBackoff)
		d.expect("01")
		d.expectAlive()
		if p := s.presence(imei); p.Login.Answer != devices.LoginDelayed || p.Login.Reason != devices.LoginBackoff ||
			p.Login.DelayMS != maxLoginBackoff.Milliseconds() {
			t.Errorf("%+v", p.Login)
		}
		pass(time.Minute)
		logIn("01")
	}, withDevices)
}

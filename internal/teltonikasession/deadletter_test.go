package teltonikasession

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// overrun is a frame with a right CRC whose last record does not fit.
func overrun(records int) []byte {
	b := goodFrame(records)
	return bodyFrame(slices.Concat(b[8:len(b)-15], []byte{byte(records)})...)
}

func TestDeadLetterOfAMalformedFrameIsAcknowledged(t *testing.T) {
	tooMany := goodFrame(2) // bytes are left over behind its one record
	tooMany[9], tooMany[len(tooMany)-5] = 1, 1
	for name, c := range map[string]struct {
		frame   []byte
		records int
	}{
		"n1 and n2 differ":           {malformed(3), 3},
		"record that does not fit":   {overrun(2), 2},
		"bytes left over":            {reseal(tooMany), 1},
		"no room for any record":     {bodyFrame(0x8E, 7, 7), 7},
		"no records but bytes":       {bodyFrame(0x10, 0, 1, 2, 3, 0), 0},
		"no records, n2 is not 0":    {bodyFrame(0x08, 0, 9), 0},
		"255 records in three bytes": {bodyFrame(0x08, 255, 255), 255},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				d.send(c.frame)
				d.expect(ack(c.records))
				s.expectStored(0, 1)
				dead := s.engine.DeadLetters()[0]
				codec := teltonika.Codec(c.frame[8]).String()
				if !bytes.Equal(dead.Frame, c.frame) || dead.DeviceID != imei || dead.Reason != "malformed" ||
					dead.Codec != codec || !dead.Received.Equal(time.Now()) {
					t.Errorf("dead letter %+v", dead)
				}
				s.expectMetric(1, "teltonika_frames_total", "codec="+codec, "result=malformed")
				s.expectMetric(float64(c.records), "teltonika_records_dead_lettered_total", "reason=malformed")
				d.expectAlive()
			})
		})
	}
}

// A malformed frame cannot be acknowledged before its dead letter is stored.
func TestDeadLetterThatCannotBeStoredIsNotAcknowledged(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		frame := malformed(3)
		s.engine.Fail(failWith(&engine.Error{Err: errEngine}))
		d.send(frame)
		d.expect("")
		s.expectMetric(3, "teltonika_records_refused_total", "reason=engine")
		s.expectStored(0, 0)
		s.engine.Fail(nil)
		d.send(frame)
		d.expect(ack(3))
		s.expectStored(0, 1)
	})
}

func TestDeadLetterOverflow(t *testing.T) {
	serve(t, func(s *service) {
		s.fillQueue(queueCapacity - 2)
		d := s.login()
		frame := malformed(3)
		d.send(frame)
		d.expect("")
		s.expectMetric(3, "teltonika_records_refused_total", "reason=overflow")
		s.expectMetric(1, "teltonika_publish_overflow_total")
		s.engine.Release()
		d.expect("")
		d.send(frame)
		d.expect(ack(3))
	})
}

func TestDeadLetterOfAnUnknownCodec(t *testing.T) {
	for id, name := range map[byte]string{0x61: "0x61", 0x00: "0x00", 0xFF: "0xff", 0x0B: "0x0b"} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				frame := bodyFrame(id, 1, 'x', 'y', 1)
				d := s.login()
				d.send(frame)
				d.expectClosed("")
				s.expectReason(ReasonUnknownCodec)
				s.expectStored(0, 1)
				dead := s.engine.DeadLetters()[0]
				if !bytes.Equal(dead.Frame, frame) || dead.Reason != "unknown_codec" || dead.Codec != name {
					t.Errorf("dead letter %+v", dead)
				}
				s.expectMetric(1, "teltonika_unknown_codec_total", "codec_id="+hexID(teltonika.Codec(id)))
				s.expectMetric(1, "teltonika_frames_total", "result=unknown_codec")
				if n := s.log.Count("level=WARN"); n != 1 {
					t.Errorf("%d warnings, want 1:\n%s", n, s.log)
				}
			})
		})
	}
}

func TestDeadLetterOfAnUnknownCodecOncePerDistinctFrame(t *testing.T) {
	serve(t, func(s *service) {
		for range 5 {
			for _, content := range []byte("abc") {
				d := s.loginAfterBackoff()
				d.send(bodyFrame(0x61, 1, content, 1))
				d.expectClosed("")
			}
			pass(5 * time.Minute)
		}
		s.expectStored(0, 3)
		s.expectMetric(15, "teltonika_unknown_codec_total", "codec_id=0x61")
		// The same bytes of another device are its own.
		d := s.loginAs("350000000000000")
		d.send(bodyFrame(0x61, 1, 'a', 1))
		d.expectClosed("")
		s.expectStored(0, 4)
	})
}

// The connection closes all the same, which ends a resend at full speed; the next resend gets another chance.
func TestDeadLetterOfAnUnknownCodecThatCannotBeStored(t *testing.T) {
	serve(t, func(s *service) {
		s.engine.Fail(failWith(&engine.Error{Err: errEngine}))
		d := s.login()
		d.send(bodyFrame(0x61, 1, 'a', 1))
		d.expectClosed("")
		s.engine.Fail(nil)
		d = s.loginAfterBackoff()
		d.send(bodyFrame(0x61, 1, 'a', 1))
		d.expectClosed("")
		s.expectStored(0, 1)
	})
}

// A timestamp that cannot be published costs its own record and no other.
func TestDeadLetterOfATimestampBeyondTheYear9999(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		r := fresh(5)
		r[0].Timestamp = record.MaxTimestamp + 1
		r[3].Timestamp = 1<<64 - 1
		r[4].Timestamp = record.MaxTimestamp
		frame := frameOf(teltonika.Codec8, r...)
		d.send(frame)
		d.expect(ack(5))
		s.expectStored(3, 1)
		dead := s.engine.DeadLetters()[0]
		if !bytes.Equal(dead.Frame, frame) || dead.Reason != "timestamp" || dead.Codec != "8" {
			t.Errorf("dead letter %+v", dead)
		}
		if last := s.engine.Records()[2].Time; last != "9999-12-31T23:59:59.999Z" {
			t.Errorf("last record at %s", last)
		}
		s.expectMetric(3, "teltonika_records_published_total")
		s.expectMetric(2, "teltonika_records_dead_lettered_total", "reason=timestamp")
		if !s.log.Has("timestamp cannot be published, frame kept as dead letter", "records=2",
			"first="+hex.EncodeToString(frame[:maxFirstBytes]), "cause=") {
			s.Errorf("logged:\n%s", s.log)
		}
		s.expectMetric(1, "teltonika_frames_total", "codec=8", "result=ok")

		d.send(frame) // again
		d.expect(ack(5))
		s.expectStored(3, 1)
		s.expectMetric(3, "teltonika_records_duplicate_total")
	})
	serve(t, func(s *service) {
		d := s.login()
		r := fresh(1)
		r[0].Timestamp = 1 << 63
		d.send(frameOf(teltonika.Codec16, r...))
		d.expect(ack(1))
		s.expectStored(0, 1)
	})
}

// The records are not acknowledged while the dead letter of the same frame is missing.
func TestDeadLetterOfATimestampThatCannotBeStored(t *testing.T) {
	serve(t, func(s *service) {
		s.storesInPart = true
		s.engine.Fail(func(b *engine.Batch) error {
			for i := range b.DeadLetters {
				b.Results[len(b.Records)+i].Err = &engine.Error{Err: errEngine}
			}
			return nil
		})
		d := s.login()
		r := fresh(3)
		r[1].Timestamp = 1 << 63
		frame := frameOf(teltonika.Codec8, r...)
		d.send(frame)
		d.expect("")
		s.expectMetric(3, "teltonika_records_refused_total", "reason=engine")
		s.engine.Fail(nil)
		d.send(frame)
		d.expect(ack(3))
		if n := len(s.engine.DeadLetters()); n != 1 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// A record that the engine never takes is kept with its frame, so that the device goes on; so is a message.
func TestTooLargeForTheEngine(t *testing.T) {
	serve(t, func(s *service) {
		s.storesInPart = true
		s.engine.Fail(func(b *engine.Batch) error {
			records, _, messages := b.ByKind()
			for i := range records {
				if b.Records[i].Timestamp == largeAt.UnixMilli() {
					records[i].Err = &engine.Error{Err: engine.ErrTooLarge}
				}
			}
			for i := range messages {
				messages[i].Err = &engine.Error{Err: engine.ErrTooLarge}
			}
			return nil
		})
		d := s.login()
		r := fresh(3)
		r[1].Timestamp = uint64(largeAt.UnixMilli())
		d.send(frameOf(teltonika.Codec8, r...))
		d.expect(ack(3))
		s.expectStored(2, 1)
		s.expectMetric(3, "teltonika_records_dead_lettered_total", "reason=too_large")
		d.send(messageFrame(t, teltonika.Codec12, 6, "large"))
		s.expectMessages()
		d.expectAlive()
		s.expectStored(4, 2)
		if dead := s.engine.DeadLetters(); dead[0].Reason != "too_large" || dead[1].Reason != "too_large" {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

var largeAt = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// One device cannot fill the dead letters. What is above its quota is refused, and taken when it is sent again
// later; other devices do not notice.
func TestDeadLettersOfOneDeviceAreBounded(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		for range deadLetterBurst {
			d.send(malformed(1))
			d.expect(ack(1))
		}
		late := malformed(2)
		d.send(late)
		d.expect("")
		s.expectMetric(2, "teltonika_records_refused_total", "reason=dead_letters")
		r := fresh(3)
		r[1].Timestamp = 1 << 63
		mixed := frameOf(teltonika.Codec8, r...)
		d.send(mixed)
		d.expect("")
		s.expectMetric(5, "teltonika_records_refused_total", "reason=dead_letters")
		d.expectAlive()

		other := s.loginAs("350000000000000")
		other.send(malformed(1))
		other.expect(ack(1))

		pass(deadLetterInterval)
		d.send(late)
		d.expect(ack(2))
		d.send(mixed)
		d.expect("")
		pass(deadLetterInterval)
		d.send(mixed)
		d.expect(ack(3))
		s.expectStored(2+2, deadLetterBurst+3)
	})
}

// A stranger who has a name for each dead letter, and any number of addresses, fills the store no faster than all may;
// one address has a part of that, and strangers take nothing of what devices on the list may.
func TestDeadLettersOfAllAreBoundedInBytes(t *testing.T) {
	const size, mib = 60_000, 1 << 20
	fill := func(a *deadLetterQuota, address func(i int) netip.Addr, from, until time.Time) (bytes int) {
		for now, i := from, 0; !now.After(until); now, i = now.Add(time.Millisecond), i+1 {
			if a.spend(&source{Origin: record.Origin{DeviceID: fmt.Sprint(i)}, network: address(i)}, size, now) {
				bytes += size
			}
		}
		return bytes
	}
	within := func(what string, bytes, want int) {
		t.Helper()
		if bytes > want || bytes < want-3*size {
			t.Errorf("%s: %d bytes, want %d", what, bytes, want)
		}
	}
	start := time.Unix(1_800_000_000, 0)
	one := func(int) netip.Addr { return netip.MustParseAddr("192.0.2.1") }
	many := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	within("one address", fill(newDeadLetterQuota(mib, maxFrameBytes), one, start, start.Add(time.Minute)),
		(64+60)*mib/deadLetterAddressPart)
	within("all", fill(newDeadLetterQuota(mib, maxFrameBytes), many, start, start.Add(time.Minute)), (64+60)*mib)
	a := newDeadLetterQuota(deadLetterAddressPart, 16<<20)
	if !a.spend(&source{Origin: record.Origin{DeviceID: imei}, network: one(0)}, 16<<20, start) {
		t.Error("the largest frame is never taken")
	}
}

func TestDeadLettersOfStrangersLeaveTheDevicesTheirs(t *testing.T) {
	serve(t, func(s *service) {
		s.adapter.strangersDeadLetters.all.Take(s.adapter.strangersDeadLetters.allRate.Burst, time.Now(),
			s.adapter.strangersDeadLetters.allRate)
		stranger, device := s.loginAs("350000000000000"), s.login()
		stranger.send(malformed(1))
		stranger.expect("")
		device.send(malformed(1))
		device.expect(ack(1))
	}, listed)
}

// After an idle time the quota is whole again and no more than that.
func TestDeadLetterQuotaRefills(t *testing.T) {
	a, now := newDeadLetterQuota(deadLetterBytes, maxFrameBytes), time.Unix(1_800_000_000, 0)
	for range 3 {
		n := 0
		for a.spend(&source{Origin: record.Origin{DeviceID: imei}}, 1, now) {
			n++
		}
		if n != deadLetterBurst {
			t.Errorf("%d at once, want %d", n, deadLetterBurst)
		}
		now = now.Add(100 * deadLetterBurst * deadLetterInterval)
	}
}

package teltonikasession

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestDatagramIsStoredAndAnswered(t *testing.T) {
	for _, codec := range []teltonika.Codec{teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16} {
		t.Run(codec.String(), func(t *testing.T) {
			servePackets(t, func(s *packetService) {
				s.send(datagramOf(imei, 7, frameOf(codec, fresh(3)...)))
				s.expect(answerTo(7, 3))
				s.expectStored(3, 0)
				if r := s.engine.Records()[0]; r.DeviceID != imei || r.Codec != codec.String() {
					t.Errorf("stored %+v", r)
				}
				label := "codec=" + codec.String()
				s.expectMetric(1, "teltonika_frames_total", label, "result=ok", "transport=udp")
				s.expectMetric(3, "teltonika_records_received_total", label, "transport=udp")
				s.expectMetric(3, "teltonika_records_published_total", label, "transport=udp")
				s.expectMetric(0, "teltonika_records_received_total", "transport=tcp")
				s.expectMetric(1, "teltonika_ack_latency_seconds")
				s.expectMetric(0, "teltonika_handshake_total")
			})
		})
	}
}

// A device that got no answer sends the same AVL packet again. It counts as stored.
func TestDatagramSentAgain(t *testing.T) {
	servePackets(t, func(s *packetService) {
		b := datagramOf(imei, 9, goodFrame(4))
		for range 3 {
			s.send(b)
			s.expect(answerTo(9, 4))
		}
		s.expectStored(4, 0)
		s.expectMetric(8, "teltonika_records_duplicate_total")
	})
}

// The length field is wrong in the wild; the datagram's own length counts.
func TestDatagramWithAWrongLengthField(t *testing.T) {
	servePackets(t, func(s *packetService) {
		for i, field := range [][2]byte{{0, 0}, {0xFF, 0xFF}, {0, 5}} {
			b := datagramOf(imei, byte(i), goodFrame(1))
			copy(b, field[:])
			s.send(b)
			s.expect(answerTo(byte(i), 1))
		}
		s.expectStored(3, 0)
		s.expectMetric(3, "teltonika_udp_length_mismatch_total")
	})
}

// The zeros of a read buffer behind a packet are not of it, if its length field says so.
func TestDatagramWithItsReadBuffersZerosBehindIt(t *testing.T) {
	servePackets(t, func(s *packetService) {
		for i, frame := range [][]byte{goodFrame(3), marker} {
			s.send(append(datagramOf(imei, byte(i), frame), make([]byte, 200)...))
			s.expect(answerTo(byte(i), 3-3*i))
		}
		s.expectStored(3, 0)
		s.expectMetric(0, "teltonika_udp_length_mismatch_total")

		s.send(append(datagramOf(imei, 2, goodFrame(2)), 0, 0, 1))
		s.expect(answerTo(2, 2))
		b := append(datagramOf(imei, 3, goodFrame(2)), 0, 0)
		b[0], b[1] = 0, 0
		s.send(b)
		s.expect(answerTo(3, 2))
		s.expectStored(3, 2)
		s.expectMetric(4, "teltonika_records_dead_lettered_total", "reason=malformed")
		s.expectMetric(2, "teltonika_udp_length_mismatch_total")
	})
}

func TestDatagramWithoutRecords(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.send(datagramOf(imei, 1, marker))
		s.expect(answerTo(1, 0))
		s.expectMetric(1, "teltonika_frames_total", "codec=8", "result=ok", "transport=udp")
	})
}

// What is not a datagram of a device gets no answer at all.
func TestDatagramThatIsNone(t *testing.T) {
	good := datagramOf(imei, 1, goodFrame(1))
	wrong := bytes.Clone(good)
	wrong[10] = '-'
	long := bytes.Clone(good)
	long[6] = 0xFF
	for name, b := range map[string][]byte{
		"empty": {}, "short": {0}, "an answer": unhex(t, answerTo(1, 1)), "header only": good[:8], "no body": good[:23],
		"half a body": good[:25], "imei of other characters": wrong, "imei too long": long,
		"a tcp frame": goodFrame(3), "a login": loginOf(imei), "text": []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			servePackets(t, func(s *packetService) {
				s.send(b)
				s.expect()
				s.expectStored(0, 0)
				s.expectMetric(1, "teltonika_handshake_total")
				s.expectMetric(1, "teltonika_handshake_total", "result=malformed", "known=unknown", "transport=udp")
				if n := s.log.Count("datagram malformed"); n != 1 {
					t.Errorf("%d lines in the log", n)
				}
			})
		})
	}
}

func TestDatagramOfKeepAlives(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.send([]byte{0xFF})
		s.send([]byte{0xFF, 0xFF})
		s.expect()
		s.expectMetric(0, "teltonika_handshake_total")
	})
}

// What the engine never takes is kept and acknowledged, as over TCP, if the datagram is large. No engine refuses the
// records of a small one for their size; it would be counted as refused.
func TestDatagramTooLargeForTheEngine(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.storesInPart = true
		s.engine.Fail(func(b *engine.Batch) error {
			records, _, messages := b.ByKind()
			for _, results := range [][]engine.Result{records[:min(1, len(records))], messages} {
				for i := range results {
					results[i].Err = &engine.Error{Err: engine.ErrTooLarge}
				}
			}
			return nil
		})
		large := datagramOf(imei, 1, goodFrame(100))
		s.send(large)
		s.expect(answerTo(1, 100))
		s.expectStored(99, 1)
		if d := s.engine.DeadLetters()[0]; d.Reason != "too_large" || !bytes.Equal(d.Frame, large) {
			t.Errorf("dead letter %+v", d)
		}
		s.expectMetric(100, "teltonika_records_dead_lettered_total", "reason=too_large")
		s.send(datagramOf(imei, 2, goodFrame(2)))
		s.expect()
		s.expectMetric(2, "teltonika_records_refused_total", "reason=engine")
	})
}

// Malformed records are kept and acknowledged, as over TCP; the dead letter is the whole datagram.
func TestDatagramThatCannotBeDecoded(t *testing.T) {
	for name, c := range map[string]struct {
		frame   []byte
		records int
	}{
		"n1 and n2 differ":         {malformed(3), 3},
		"record that does not fit": {overrun(2), 2},
		"255 records, three bytes": {bodyFrame(0x08, 255, 255), 255},
	} {
		t.Run(name, func(t *testing.T) {
			servePackets(t, func(s *packetService) {
				b := datagramOf(imei, 3, c.frame)
				s.send(b)
				s.expect(answerTo(3, c.records))
				s.expectStored(0, 1)
				if d := s.engine.DeadLetters()[0]; !bytes.Equal(d.Frame, b) || d.DeviceID != imei || d.Reason != "malformed" ||
					!d.Received.Equal(time.Now()) {
					t.Errorf("dead letter %+v", d)
				}
				s.expectMetric(1, "teltonika_frames_total", "result=malformed", "transport=udp")
				s.expectMetric(float64(c.records), "teltonika_records_dead_lettered_total", "reason=malformed")
			})
		})
	}
}

// It is not answered, so it is not kept either: anybody can send it.
func TestDatagramOfAnUnknownCodec(t *testing.T) {
	servePackets(t, func(s *packetService) {
		b := datagramOf(imei, 3, bodyFrame(0x61, 1, 'x', 1))
		for range 3 {
			s.send(b)
			s.expect()
		}
		s.expectStored(0, 0)
		if n := s.log.Count("unknown codec, frame not acknowledged"); n != 3 {
			t.Errorf("%d lines in the log", n)
		}
		s.expectMetric(3, "teltonika_unknown_codec_total", "codec_id=0x61")
		s.expectMetric(3, "teltonika_frames_total", "result=unknown_codec", "transport=udp")
		s.login().expectAlive() // without a backoff
	})
}

// A record that cannot be published takes the datagram to the dead letters; the others are published.
func TestDatagramWithATimestampBeyondTheYear9999(t *testing.T) {
	servePackets(t, func(s *packetService) {
		r := fresh(3)
		r[1].Timestamp = 1 << 63
		b := datagramOf(imei, 4, frameOf(teltonika.Codec8, r...))
		s.send(b)
		s.expect(answerTo(4, 3))
		s.expectStored(2, 1)
		if d := s.engine.DeadLetters()[0]; !bytes.Equal(d.Frame, b) || d.Reason != "timestamp" {
			t.Errorf("dead letter %+v", d)
		}
	})
}

// Whoever sends datagrams under a device's name uses up the dead letters of datagrams, not those of its connection.
func TestDeadLettersOfDatagramsAreBounded(t *testing.T) {
	servePackets(t, func(s *packetService) {
		for i := range deadLetterBurst + 5 {
			s.send(datagramOf(imei, byte(i), malformed(1)))
			if i < deadLetterBurst {
				s.expect(answerTo(byte(i), 1))
			}
		}
		s.expect()
		s.expectMetric(5, "teltonika_records_refused_total", "reason=dead_letters")
		d := s.login()
		d.send(malformed(2))
		d.expect(ack(2))
	})
}

func TestDatagramOfAnUnknownDevice(t *testing.T) {
	b := datagramOf("350000000000000", 1, goodFrame(2))
	servePackets(t, func(s *packetService) {
		for range 3 {
			s.send(b)
		}
		s.expect()
		s.expectStored(0, 0)
		s.expectMetric(3, "teltonika_handshake_total")
		s.expectMetric(3, "teltonika_handshake_total", "result=rejected", "known=unknown", "transport=udp")
		s.expectMetric(0, "teltonika_udp_devices_active")
		s.send(datagramOf(imei, 1, goodFrame(1)))
		s.expect(answerTo(1, 1))
	}, func(o *Options) { o.StrictAuth = true })
	servePackets(t, func(s *packetService) {
		s.send(b)
		s.expect(answerTo(1, 2))
		if n := s.log.Count("known=false"); n != 1 {
			t.Errorf("%d devices logged as unknown", n)
		}
	})
}

// Messages are stored as those of connections are, but pass for no command's answer; and they get none.
func TestMessageInADatagram(t *testing.T) {
	b := &switchboard{}
	servePackets(t, func(s *packetService) {
		s.send(datagramOf(imei, 1, unhex(t, "000000000000000f0c010600000007676574696e666f0100001234")))
		s.expect()
		if len(b.messages) != 0 {
			t.Errorf("a message that anybody can send passes for an answer: %+v", b.messages[0])
		}
		s.expectMessages("getinfo")
		s.send(datagramOf(imei, 2, bodyFrame(0x0C, 1, 6)))
		s.expect()
		s.expectStored(0, 1)
		if d := s.engine.DeadLetters()[0]; d.Transport != "udp" || d.Reason != "malformed" || d.Codec != "12" {
			t.Errorf("dead letter %+v", d)
		}
		s.expectMetric(1, "teltonika_frames_total", "codec=12", "result=ok", "transport=udp")
		s.expectMetric(1, "teltonika_frames_total", "codec=12", "result=malformed", "transport=udp")
	}, func(o *Options) { o.Commands = b })
}

// A sender who is gone cannot be made to wait, so what is not stored in time is lost, and counted. It holds no
// room meanwhile but that of datagrams.
func TestMessageInADatagramThatIsNotStored(t *testing.T) {
	servePackets(t, func(s *packetService) {
		b := datagramOf(imei, 1, messageFrame(t, teltonika.Codec12, 6, "a", "b"))
		s.engine.Hold()
		s.send(b)
		pass(publishTimeout)
		s.expect()
		s.expectMetric(2, "teltonika_messages_refused_total", "codec=12", "reason=timeout", "transport=udp")
		s.expectMetric(0, "teltonika_udp_in_hand")
		s.engine.Release()
	})
}

// Nothing is answered that is not stored, and a datagram that was refused is never answered later.
func TestDatagramThatIsNotStored(t *testing.T) {
	servePackets(t, func(s *packetService) {
		b := datagramOf(imei, 1, goodFrame(2))
		s.engine.Hold()
		s.send(b)
		s.expect()
		pass(publishTimeout - 1)
		s.expect()
		s.expectMetric(1, "teltonika_udp_in_hand")
		pass(1)
		s.expectMetric(0, "teltonika_udp_in_hand")
		s.engine.Release()
		s.expect()
		s.expectMetric(2, "teltonika_records_refused_total", "reason=timeout")
		s.send(b) // stored late by now
		s.expect(answerTo(1, 2))
		s.expectStored(2, 0)
	})
	servePackets(t, func(s *packetService) {
		b, dead := datagramOf(imei, 1, goodFrame(2)), datagramOf(imei, 2, malformed(3))
		s.engine.Fail(failWith(&engine.Error{Err: errEngine}))
		s.send(b)
		s.send(dead)
		s.expect()
		s.expectMetric(5, "teltonika_records_refused_total", "reason=engine")
		s.engine.Fail(nil)
		s.send(b)
		s.expect(answerTo(1, 2))
		s.send(dead)
		s.expect(answerTo(2, 3))
		s.expectStored(2, 1)
	})
}

// Datagrams of one device are stored in the order in which they came.
func TestDatagramsKeepTheirOrder(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.engine.Hold()
		for i := range 100 {
			s.send(datagramOf(imei, byte(i), goodFrame(2)))
		}
		s.engine.Release()
		s.publisherIdle()
		var times []string
		for _, r := range s.engine.Records() {
			times = append(times, r.Time)
		}
		if len(times) != 200 || !slices.IsSorted(times) {
			t.Errorf("%d records stored, at %v", len(times), times)
		}
	})
}

func (s *packetService) publisherIdle() {
	pass(time.Second)
	s.socket.Answers()
}

// What waits is finished and answered when the service stops, and nothing is taken any more.
func TestDatagramsInHandWhenTheServiceStops(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.engine.Hold()
		s.send(datagramOf(imei, 1, goodFrame(2)))
		s.expect()
		s.stop()
		s.expect(answerTo(1, 2))
		s.expectStored(2, 0)
	})
}

// However many datagrams come, from however many addresses and devices: they leave the most of the queue to
// connections.
func TestDatagramsLeaveRoomForConnections(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.engine.Hold()
		d := s.login()
		for i := range 5000 {
			s.socket.Send(datagramOf(spoofed(i), 1, goodFrame(1)), spoofedAddress(i))
		}
		s.expect()
		const room = 255 // of a queue of 1,000: a fourth, but room for one frame at least
		if n := s.publisher.Queued(); n != room {
			t.Errorf("%d records queued, want %d", n, room)
		}
		d.send(goodFrame(200))
		s.engine.Release()
		d.expect(ack(200))
		s.expectMetric(5000-room, "teltonika_records_refused_total", "reason=overflow")
	})
}

// Panics in any step leave no room of the queue taken.
func TestPanicInADatagramGivesTheQueuesRoomBack(t *testing.T) {
	servePackets(t, func(s *packetService) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			s.adapter.submit(buggyFrame(s.adapter.datagrams.quota))
		}()
		if n := s.publisher.Queued(); n != 0 {
			t.Errorf("%d records queued", n)
		}
		for i := range byte(5) { // together more than their part, were the room not back
			s.send(datagramOf(imei, i, goodFrame(50)))
			s.expect(answerTo(i, 50))
		}
	})
}

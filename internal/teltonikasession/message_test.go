package teltonikasession

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// messageFrame is a frame of messages of one type, as they stand: a real device says 1 whatever their number.
func messageFrame(t testing.TB, codec teltonika.Codec, kind byte, payloads ...string) []byte {
	t.Helper()
	m := teltonika.Messages{Codec: codec}
	for _, p := range payloads {
		one := teltonika.Message{Type: kind, Timestamp: 1700000000, Payload: []byte(p)}
		if codec == teltonika.Codec14 || codec == teltonika.Codec15 {
			one.IMEI = imei
		}
		m.Messages = append(m.Messages, one)
	}
	frame, err := m.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// expectMessages compares the payloads of all messages stored.
func (s *service) expectMessages(want ...string) {
	s.Helper()
	synctest.Wait()
	got := s.engine.Messages()
	if len(got) != len(want) {
		s.Fatalf("%d messages are stored, want %d", len(got), len(want))
	}
	for i, m := range got {
		if string(m.Payload) != want[i] {
			s.Errorf("message %d is %.40q, want %.40q", i, m.Payload, want[i])
		}
	}
}

// Frames of Codec 12 to 15 get no answer of 4 bytes, and what follows them is read.
func TestMessagesAreNotAnswered(t *testing.T) {
	for codec, frames := range map[string][]string{
		"12": {"000000000000000f0c010500000007676574696e666f0100004312",
			"000000000000000e0c010500000006676574766572010000a4c2"},
		"14": {"00000000000000160e01050000000e0352093081452251676574766572010000d2c1",
			"00000000000000100e011100000008035209308145225101000032ac"},
		"15": {"000000000000001b0f010b00000013654b65a4012345678912345648656c6c6f210a01000093d6"},
	} {
		t.Run(codec, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				for _, f := range frames {
					d.send(unhex(t, f))
					d.expect("")
				}
				s.expectMetric(float64(len(frames)), "teltonika_frames_total", "codec="+codec, "result=ok")
				s.expectMetric(float64(len(frames)), "teltonika_messages_stored_total", "codec="+codec, "transport=tcp")
				d.expectAlive()
				s.expectStored(2, 0)
			})
		})
	}
}

func TestMessageIsStoredWithAllThatIsKnownOfIt(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		d.send(unhex(t, "000000000000001b0f010b00000013654b65a4012345678912345648656c6c6f210a01000093d6"))
		d.send(messageFrame(t, teltonika.Codec12, 0x0d, "\x00\xff"))
		synctest.Wait()
		got := s.engine.Messages()
		want := []engine.Message{
			{DeviceID: imei, Codec: "15", Type: 0x0b, Sent: time.Unix(0x654b65a4, 0), Received: time.Now(),
				Payload: []byte("Hello!\n")},
			{DeviceID: imei, Codec: "12", Type: 0x0d, Received: time.Now(), Payload: []byte{0, 0xff}},
		}
		for i := range want {
			g, w := got[i], want[i]
			if g.DeviceID != w.DeviceID || g.Codec != w.Codec || g.Type != w.Type || !g.Sent.Equal(w.Sent) ||
				!g.Received.Equal(w.Received) || !bytes.Equal(g.Payload, w.Payload) {
				t.Errorf("message %d is %+v, want %+v", i, g, w)
			}
		}
	})
}

// A frame with a right CRC that does not decode is a dead letter, whatever its codec. It is not answered, and
// what follows is read.
func TestMessagesThatCannotBeDecodedAreDeadLetters(t *testing.T) {
	for codec, name := range map[byte]string{0x0C: "12", 0x0D: "13", 0x0E: "14", 0x0F: "15"} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				frames := [][]byte{
					bodyFrame(codec, 1, 6, 0, 0, 0, 200, 'x', 1), // a size beyond the frame
					bodyFrame(codec, 1, 6),                       // no message, quantities differ
				}
				for _, f := range frames {
					d.send(f)
				}
				d.expect("")
				s.expectMetric(2, "teltonika_frames_total", "codec="+name, "result=malformed")
				s.expectMetric(2, "teltonika_messages_dead_lettered_total", "codec="+name)
				s.expectMetric(0, "teltonika_unknown_codec_total")
				s.expectStored(0, 2)
				for i, l := range s.engine.DeadLetters() {
					if l.Codec != name || l.Reason != "malformed" || l.Transport != "tcp" || !bytes.Equal(l.Frame, frames[i]) {
						t.Errorf("dead letter %+v", l)
					}
				}
				d.expectAlive()
			})
		})
	}
}

// It waits for the engine as a message does, and nothing behind it is acknowledged before it is stored.
func TestUndecodableMessageWaitsForTheEngine(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		s.engine.Fail(func(*engine.Batch) error { return errTransient })
		d.send(bodyFrame(0x0C, 1, 6))
		pass(5 * publishTimeout)
		s.expectStored(0, 0)
		s.engine.Fail(nil)
		d.send(goodFrame(1))
		d.expect(ack(1))
		s.expectStored(1, 1)
	})
}

// No device sends them again. Who sends more than the quota of dead letters is not read on for a moment, and loses
// none.
func TestUndecodableMessagesBeyondTheQuotaWait(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		const more = 3
		start := time.Now()
		for n := range deadLetterBurst + more {
			d.send(bodyFrame(0x0C, 1, 6, byte(n>>8), byte(n)))
		}
		d.send(goodFrame(2)) // once they are read
		pass(deadLetterInterval)
		d.expect(ack(2))
		if took := time.Since(start); took < more*deadLetterInterval {
			t.Errorf("took %v", took)
		}
		s.expectStored(2, deadLetterBurst+more)
		s.expectMetric(0, "teltonika_messages_refused_total")
	})
}

var (
	errTransient = &engine.Error{Transient: true, Err: errors.New("the engine does not store")}
	errPermanent = &engine.Error{Err: errors.New("the engine does not store")}
)

func TestAllMessagesOfABurstAreStored(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		var want []string
		for n := range 400 {
			want = append(want, fmt.Sprint("axle weight ", n/2)) // each twice: two equal ones are two
			d.send(messageFrame(t, teltonika.Codec12, 6, want[n]))
		}
		s.expectMessages(want...)
		d.expectAlive()
	})
}

func TestMessageIsStoredWhole(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		want := []string{strings.Repeat("x", 6144), strings.Repeat("\x00", maxFrameBytes-8)}
		for _, payload := range want {
			d.send(messageFrame(t, teltonika.Codec12, 6, payload))
		}
		s.expectMessages(want...)
	})
}

// A frame may have more messages than the queue has room.
func TestFrameOfThousandsOfMessages(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		body := []byte{0x0C, 1}
		var want []string
		for n := range 13_000 {
			body = append(body, 6, 0, 0, 0, 0)
			want = append(want, "")
			if n%1000 == 0 {
				body[len(body)-1], want[n] = 1, "x"
				body = append(body, 'x')
			}
		}
		d.send(bodyFrame(append(body, 1)...))
		s.expectMessages(want...)
		d.expectAlive()
	})
}

// While the engine is frozen the connection is not read on; afterwards everything is stored once, in order, and
// only then is acknowledged what came behind it.
func TestFrozenEngineLosesNoMessage(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		s.engine.Hold()
		d.send(messageFrame(t, teltonika.Codec12, 6, "first"))
		go func() { // the pipe has no room for what is not read
			d.send(messageFrame(t, teltonika.Codec13, 6, "second"))
			d.send(goodFrame(2))
		}()
		pass(time.Hour)
		s.expectMetric(1, "teltonika_messages_received_total")
		s.expectMetric(0, "teltonika_frames_total")
		s.engine.Release()
		d.expect(ack(2))
		s.expectMessages("first", "second")
		s.expectStored(2, 0)
	})
}

// A refusal for good, such as a right that lacks, is cured by somebody some day.
func TestMessageIsTriedAgainAfterARefusal(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		s.engine.Fail(func(*engine.Batch) error { return errPermanent })
		d.send(messageFrame(t, teltonika.Codec12, 6, "first"))
		pass(time.Hour)
		s.expectMessages()
		if n := s.engine.Stores(); n > 3700 {
			t.Errorf("tried %d times in an hour", n)
		}
		s.engine.Fail(nil)
		pass(maxKeepPause)
		s.expectMessages("first")
		d.expectAlive()
	})
}

func TestMessageIsTriedAgainWhenTheQueueWasFull(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		full, err := s.publisher.Admit(nil, "other", queueCapacity)
		if err != nil {
			t.Fatal(err)
		}
		d.send(messageFrame(t, teltonika.Codec12, 6, "first"))
		pass(time.Minute)
		s.expectMessages()
		s.publisher.Discard(full)
		pass(maxKeepPause)
		s.expectMessages("first")
	})
}

// A session whose message cannot be stored ends all the same: when the device has a newer connection, is no
// longer known, or the server stops. The message stays, unless the server stops: then it is counted.
func TestMessageThatWaitsHoldsNoSession(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*service)
		reason ingest.CloseReason
		stored []string
	}{
		"taken over": {func(s *service) { s.login() }, ingest.ReasonTakenOver, []string{"first"}},
		"revoked": {func(s *service) {
			s.server.Revoke(context.Background(), func(string) bool { return false })
		}, ingest.ReasonRevoked, []string{"first"}},
		"stopped": {func(s *service) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := s.server.Drain(ctx); err != nil {
				s.Error(err)
			}
			_ = s.publisher.Drain(ctx) // in vain
			s.publisher.Close()
		}, ingest.ReasonShutdown, nil},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				s.engine.Hold()
				d.send(messageFrame(t, teltonika.Codec12, 6, "first"))
				synctest.Wait()
				c.end(s)
				pass(time.Second)
				s.expectMetric(1, "teltonika_connections_closed_total", "reason="+string(c.reason))
				s.engine.Release()
				s.expectMessages(c.stored...)
				s.expectMetric(float64(1-len(c.stored)), "teltonika_messages_refused_total", "reason=draining")
			})
		})
	}
}

// A device that waits in vain for an answer comes back after its response timeout, and sends no message again. Each one
// is stored all the same, before anything that comes later, and so is one that cannot be decoded.
func TestMessageOutlivesItsConnectionWhileTheEngineIsDown(t *testing.T) {
	serve(t, func(s *service) {
		s.engine.Fail(func(*engine.Batch) error { return errTransient })
		many, body := make([]string, 400), []byte{0x0C, 1} // more than the publisher takes at once
		for i := range many {
			many[i] = fmt.Sprintf("%03d", i)
			body = append(append(body, 6, 0, 0, 0, 3), many[i]...)
		}
		for _, frame := range [][]byte{
			messageFrame(t, teltonika.Codec12, 6, "first"), bodyFrame(0x0C, 1, 6), bodyFrame(append(body, 1)...),
		} {
			d := s.login()
			go d.send(append(frame, goodFrame(1)...)) // the pipe has no room for what is not read
			pass(26 * time.Second)
		}
		s.expectMetric(402, "teltonika_messages_received_total")
		d := s.login()
		pass(time.Second) // only what is on its way in the publisher is sure to keep its place
		s.engine.Fail(nil)
		d.send(messageFrame(t, teltonika.Codec12, 6, "last"))
		d.expectAlive()
		s.expectMessages(slices.Concat([]string{"first"}, many, []string{"last"})...)
		s.expectMetric(0, "teltonika_messages_refused_total")
		s.expectMetric(1, "teltonika_messages_dead_lettered_total")
	})
}

// So does one whose device has gone. It takes a real socket to see that without reading.
func TestMessageOfADeviceThatHasGone(t *testing.T) {
	s := newService(t)
	s.storesInPart = true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.server.Serve(l, nil)
	gone := func(reset bool) {
		d := testkit.Dial(t, l.Addr().String())
		d.MustLogin(imei)
		s.engine.Fail(func(*engine.Batch) error { return errPermanent })
		d.Send(messageFrame(t, teltonika.Codec12, 6, "first"))
		s.engine.WaitStores(s.engine.Stores() + 2)
		if reset {
			d.Conn.(*net.TCPConn).SetLinger(0)
		}
		d.Close()
	}
	for n, reset := range []bool{false, true} {
		gone(reset)
		for deadline := time.Now().Add(10 * time.Second); s.total("teltonika_messages_refused_total",
			"reason=engine") != float64(n+1); {
			if time.Now().After(deadline) {
				t.Fatal("the session waits for a device that has gone")
			}
			<-time.After(10 * time.Millisecond)
		}
		s.engine.Fail(nil)
	}
	s.stop()
	s.checkLedger()
}

// What answers a command stays with it; everything else is data, also what only looks like an answer.
func TestAnswersAreNoData(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		b.answers = func(m *command.Message) bool { return string(m.Payload) == "the answer" }
		d.send(messageFrame(t, teltonika.Codec12, 6, "a card", "the answer", "a card"))
		d.send(messageFrame(t, teltonika.Codec12, 0x0d, "the answer")) // of a camera's type
		d.send(messageFrame(t, teltonika.Codec15, 6, "the answer"))
		s.expectMessages("a card", "a card", "the answer", "the answer")
		s.expectMetric(1, "teltonika_messages_answers_total", "codec=12")
		if len(b.messages) != 3 || slices.Contains(b.written, false) {
			t.Fatalf("%d messages reached the dispatcher, written %v", len(b.messages), b.written)
		}
		m := b.messages[1]
		if m.IMEI != imei || m.Codec != teltonika.Codec12 || m.Type != teltonika.TypeResponse || m.Claimed ||
			!m.Received.Equal(time.Now()) {
			t.Errorf("the dispatcher got %+v", m)
		}
	})
}

// Nothing answers a message, so a command need not wait behind one that waits for the engine.
func TestCommandIsSentWhileAMessageWaits(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.send(goodFrame(1))
		d.expect(ack(1))
		s.engine.Hold()
		d.send(messageFrame(t, teltonika.Codec12, 6, "a card"))
		synctest.Wait()
		done := sendLater(context.Background(), b.sender(), commandFrame(t))
		d.expect(hex.EncodeToString(commandFrame(t)))
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.engine.Release()
		s.expectMessages("a card")
	})
}

// A command that waits for the first ACK has not been heard, so nothing is its answer.
func TestMessageBeforeTheCommandIsWritten(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		ctx, cancel := context.WithCancel(context.Background())
		done := sendLater(ctx, b.sender(), commandFrame(t))
		d.send(messageFrame(t, teltonika.Codec12, 6, "a card"))
		s.expectMessages("a card")
		if len(b.written) != 1 || b.written[0] {
			t.Errorf("written %v", b.written)
		}
		cancel()
		<-done
	})
}

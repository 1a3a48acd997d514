package teltonikasession

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// otherIMEI is a device that the service does not know.
const otherIMEI = "356307042441099"

func TestSameLoginTwiceOnOneConnection(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.send(loginOf(imei))
		d.expect("01")
		d.expectAlive()
		d.send(append(loginOf(imei), goodFrame(3)...))
		d.expect("01" + ack(3))
		if len(b.senders) != 1 || len(b.ended) != 0 {
			t.Errorf("%d senders, %d ended, want the one sender", len(b.senders), len(b.ended))
		}
		if got := b.sender().(*device); got.imei != imei || got.frames != 2 {
			t.Errorf("%d frames of %s", got.frames, got.imei)
		}
		s.expectMetric(3, "teltonika_handshake_total", "result=accepted", "known=known")
		s.expectMetric(0, "teltonika_connections_closed_total")
		if s.log.Count("device connected") != 1 || s.log.Count("level=WARN") != 0 {
			t.Errorf("logged:\n%s", s.log)
		}
		d.conn.Close()
		s.loginAfter(0)
	})
}

// The login behind which a command waits is answered before the command goes out.
func TestSameLoginTwiceWhileACommandWaits(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		done := sendLater(context.Background(), b.sender(), commandFrame(t))
		d.send(loginOf(imei))
		d.expect("01")
		d.send(goodFrame(1))
		if got, _ := d.answers(); got[:8] != ack(1) || len(got) == 8 {
			t.Errorf("answers %s, want an ACK and the command", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// After another device's login the connection is that device's, in every respect.
func TestAnotherLoginOnOneConnection(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		elsewhere := s.loginAs(otherIMEI)
		d := s.login()
		d.expectAlive()
		first := b.sender()

		d.send(loginOf(otherIMEI))
		d.expect("01")
		elsewhere.expectClosed("")
		d.send(goodFrame(3))
		d.expect(ack(3))
		if got := s.engine.Records(); got[len(got)-1].DeviceID != otherIMEI {
			t.Errorf("stored for %s", got[len(got)-1].DeviceID)
		}

		second := b.sender()
		if second == first || len(b.senders) != 3 || !slices.Contains(b.ended, first) {
			t.Errorf("%d senders, %d ended", len(b.senders), len(b.ended))
		}
		if got := second.(*device); got.imei != otherIMEI || got.frames != 1 || got.records != 3 {
			t.Errorf("%d frames of %s", got.frames, got.imei)
		}
		if _, err := first.Send(context.Background(), commandFrame(t), nil); !errors.Is(err, errEnded) {
			t.Errorf("a command for the first device: %v", err)
		}
		if _, err := second.Send(context.Background(), commandFrame(t), nil); err != nil {
			t.Error(err)
		}
		for _, part := range []string{`msg="device disconnected" imei=` + imei, "reason=other_login", "frames=1 records=2",
			`msg="device connected" imei=` + otherIMEI} {
			if s.log.Count(part) == 0 {
				t.Errorf("no %s in the log:\n%s", part, s.log)
			}
		}
		s.expectMetric(1, "teltonika_connections_active")
		s.expectMetric(1, "teltonika_connections_closed_total", "reason=taken_over")

		// The first device comes back on a connection of its own and leaves this one alone; the second one's takes it over.
		s.login().expectAlive()
		d.answers()
		d.expectAlive()
		s.loginAs(otherIMEI).expectAlive()
		if _, closed := d.answers(); !closed {
			t.Error("not taken over")
		}
	})
}

// A command that waits for the first device is not sent to the second.
func TestAnotherLoginWhileACommandWaits(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		done := sendLater(context.Background(), b.sender(), commandFrame(t))
		d.send(loginOf(otherIMEI))
		if err := <-done; !errors.Is(err, errEnded) {
			t.Errorf("the command: %v", err)
		}
		d.expect("01")
		d.expectAlive()
	})
}

// The wrong CRCs of one device are not the other one's, nor is its backoff.
func TestAnotherLoginBeginsAnew(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		for _, id := range []string{otherIMEI, imei, otherIMEI} {
			d.send(wrongCRC(goodFrame(1)))
			d.send(wrongCRC(goodFrame(1)))
			d.send(loginOf(id))
			d.expect("01")
		}
		d.expectAlive()
	})
}

func TestAnotherLoginThatIsRefused(t *testing.T) {
	b := &switchboard{}
	serve(t, func(s *service) {
		d := s.login()
		d.expectAlive()
		d.send(loginOf(otherIMEI))
		d.expectClosed("00")
		s.expectReason(ReasonRejected)
		s.expectMetric(1, "teltonika_handshake_total", "result=rejected", "known=unknown")
		if !slices.Equal(b.senders, b.ended) {
			t.Errorf("%d senders, %d ended", len(b.senders), len(b.ended))
		}
		s.loginAfter(0).expectAlive()
	}, strict, func(o *Options) { o.Commands = b })
}

// One connection that logs in as one device after the other closes a few of their connections, and then one a second.
// No login waits for longer, and the same one again does not wait.
func TestManyLoginsOnOneConnectionArePaced(t *testing.T) {
	serve(t, func(s *service) {
		var fleet []*tracker
		for i := range 20 {
			fleet = append(fleet, s.loginAs(fmt.Sprint("device", i)))
		}
		d := s.login()
		for i := range 5 {
			d.send(loginOf(fmt.Sprint("device", i)))
			d.expect("01")
		}
		for i := 5; i < 10; i++ {
			d.send(loginOf(fmt.Sprint("device", i)))
			pass(time.Second - time.Millisecond)
			d.expect("")
			pass(time.Millisecond)
			d.expect("01")
			d.send(loginOf(fmt.Sprint("device", i)))
			d.expect("01")
		}
		s.expectMetric(10, "teltonika_connections_closed_total", "reason=taken_over")
		for _, left := range fleet[10:] {
			left.expectAlive()
		}
	})
}

// A device that waits for the backoff of its login does not wait for that of the connection's logins too.
func TestOtherLoginWaitsOnce(t *testing.T) {
	serve(t, func(s *service) {
		for range 3 {
			d := s.loginAfterBackoff()
			d.send(bodyFrame(0x61, 1, 1))
			d.expectClosed("")
		}
		d := s.loginAs(otherIMEI)
		for i := range 5 {
			d.send(loginOf(fmt.Sprint("device", i)))
			d.expect("01")
		}
		d.send(loginOf(imei))
		pass(maxLoginBackoff)
		d.expect("01")
	})
}

// bound is a transport whose connections are one device's by their certificate.
type bound string

func (b bound) Open(_ context.Context, conn net.Conn, _ func(net.Addr) error) (ingest.Opened, error) {
	return ingest.Opened{Conn: conn, Name: transportTLS, Verify: func(imei string) error {
		if imei != string(b) {
			return errors.New("the certificate is for " + string(b))
		}
		return nil
	}}, nil
}

func (bound) Relays(net.Addr) bool { return false }

func TestAnotherLoginThanTheCertificates(t *testing.T) {
	serve(t, func(s *service) {
		l := ingesttest.NewListener()
		s.server.Serve(l, bound(imei))
		s.listener = l
		d := s.login()
		d.send(loginOf(imei))
		d.expect("01")
		d.send(loginOf(otherIMEI))
		d.expectClosed("00")
		s.expectReason(ReasonRejected)
	})
}

// What begins neither like a frame nor like a login, or is no login after all, ends the connection without an answer.
func TestGarbageBehindALogin(t *testing.T) {
	withByte := func(c byte) []byte {
		b := loginOf(imei)
		b[9] = c
		return b
	}
	for name, sent := range map[string][]byte{
		"length 65":          {0, 65},
		"longest length":     {0xFE, 0xFF},
		"space":              withByte(' '),
		"a datagram":         datagramOf(imei, 1, goodFrame(1)),
		"HTTP":               []byte("GET / HTTP/1.1\r\n\r\n"),
		"another preamble":   {0, 0, 0, 1, 0, 0, 0, 3},
		"a byte of a record": append([]byte{8}, goodFrame(1)...),
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				d.expectAlive()
				d.send(sent)
				d.expectClosed("")
				s.expectReason(ReasonBadFrame)
				s.expectMetric(1, "teltonika_handshake_total")
				s.expectMetric(1, "teltonika_frames_total", "result=malformed")
				s.expectStored(2, 0)
				s.loginAfter(firstLoginBackoff)
			})
		})
	}
}

// A login is told from a frame by its first bytes, however it is cut into segments and whatever follows in the same
// one.
func TestLoginsInAnySegments(t *testing.T) {
	for _, id := range []string{"1", "12", "12345", "123456", "1234567", imei} {
		serve(t, func(s *service) {
			stream := slices.Concat(loginOf(id), goodFrame(1), keepAlives(2), loginOf("x"), loginOf(id), goodFrame(2),
				loginOf("9"))
			want := "01" + ack(1) + "0101" + ack(2) + "01"
			d := s.dial()
			d.send(stream)
			d.expect(want)
			d = s.dial()
			for i := range stream {
				d.send(stream[i : i+1])
				pass(10 * time.Millisecond)
			}
			d.expect(want)
			s.expectMetric(6, "teltonika_records_received_total")
			if got := s.engine.Records()[0]; got.DeviceID != id || got.Codec != teltonika.Codec8.String() {
				t.Errorf("stored for %s", got.DeviceID)
			}
		})
	}
}

var _ command.Sender = (*device)(nil)

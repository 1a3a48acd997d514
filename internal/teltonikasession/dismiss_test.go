package teltonikasession

import (
	"context"
	"encoding/hex"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// dismiss asks the newest connection to end, and checks whether it will.
func (b *switchboard) dismiss(t *testing.T, want bool) {
	t.Helper()
	if got := b.sender().Dismiss(); got != want {
		t.Errorf("dismissed: %v, want %v", got, want)
	}
}

func TestDismissOfADeviceThatWaits(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.expectAlive()
		b.dismiss(t, true)
		d.expectClosed("")
		s.expectReason(ingest.ReasonShed)
		b.dismiss(t, false) // it has gone
		s.expectMetric(0, "teltonika_connections_active")
		s.login().expectAlive()
	})
}

// A stop that begins with this says so.
func TestDismissAtAStop(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		s.server.StopListening()
		d.expectAlive()
		b.dismiss(t, true)
		d.expectClosed("")
		s.expectReason(ingest.ReasonShutdown)
		s.expectMetric(0, "teltonika_connections_active")
	})
}

// Nothing is cut between a frame and its ACK, however long the engine takes.
func TestDismissWaitsForTheACK(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		s.engine.Hold()
		d.send(goodFrame(3))
		d.expect("")
		b.dismiss(t, true)
		pass(publishTimeout / 2)
		d.expect("")
		s.engine.Release()
		d.expectClosed(ack(3))
		s.expectReason(ingest.ReasonShed)
		s.expectStored(3, 0)
	})
}

// A frame whose rest is on its way is one that is in hand.
func TestDismissWaitsForTheRestOfAFrame(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		frame := goodFrame(3)
		d.send(frame[:20])
		d.expect("")
		b.dismiss(t, true)
		pass(time.Second)
		d.expect("")
		d.send(frame[20:])
		d.expectClosed(ack(3))
		s.expectStored(3, 0)
	})
}

// Nothing answers a message, so its device would not send it again.
func TestDismissWaitsForAMessageToBeStored(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		s.engine.Hold()
		d.send(messageFrame(t, teltonika.Codec12, 6, "hello"))
		d.expect("")
		b.dismiss(t, true)
		pass(time.Second)
		d.expect("")
		s.engine.Release()
		d.expectClosed("")
		s.expectMessages("hello")
		s.expectReason(ingest.ReasonShed)
	})
}

// A command that waits for its moment, or comes before the connection has ended, keeps it: its answer comes there.
func TestDismissOfADeviceWithACommand(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		done := sendLater(context.Background(), b.sender(), commandFrame(t))
		b.dismiss(t, false)
		s.engine.Hold()
		d.send(goodFrame(2))
		d.expect("")
		b.dismiss(t, false)
		s.engine.Release()
		d.expect(ack(2) + hex.EncodeToString(commandFrame(t)))
		if err := <-done; err != nil {
			t.Error(err)
		}

		s.engine.Hold()
		d.send(frameOf(teltonika.Codec8, fresh(2)...))
		d.expect("")
		b.dismiss(t, true)
		done = sendLater(context.Background(), b.sender(), commandFrame(t))
		s.engine.Release()
		d.expect(ack(2) + hex.EncodeToString(commandFrame(t)))
		if err := <-done; err != nil {
			t.Error(err)
		}
		d.expectAlive()
	})
}

// Behind the last ACK no command is sent any more.
func TestCommandAfterADismissal(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.expectAlive()
		sender := b.sender()
		b.dismiss(t, true)
		if _, err := sender.Send(context.Background(), commandFrame(t), nil); err != errEnded {
			t.Errorf("sent: %v", err)
		}
		d.expectClosed("")
	})
}

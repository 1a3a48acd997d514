package teltonikasession

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// switchboard keeps what sessions say to the command dispatcher.
type switchboard struct {
	mu       sync.Mutex
	senders  []command.Sender
	ended    []command.Sender
	messages []*command.Message
	written  []bool
	answers  func(*command.Message) bool // nil: none is an answer
}

func (b *switchboard) Connected(_ string, _ uint64, l command.Sender) {
	b.add(func() { b.senders = append(b.senders, l) })
}
func (b *switchboard) Disconnected(_ string, l command.Sender) {
	b.add(func() { b.ended = append(b.ended, l) })
}
func (b *switchboard) Message(m *command.Message, written bool) bool {
	b.add(func() { b.messages, b.written = append(b.messages, m), append(b.written, written) })
	return b.answers != nil && b.answers(m)
}

func (b *switchboard) add(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// sender is the one of the newest connection.
func (b *switchboard) sender() command.Sender {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.senders[len(b.senders)-1]
}

// withCommands is serve with a switchboard.
func withCommands(t *testing.T, test func(*service, *switchboard)) {
	t.Helper()
	b := &switchboard{}
	serve(t, func(s *service) { test(s, b) }, func(o *Options) { o.Commands = b })
}

var getinfo = (&command.Command{IMEI: imei, Codec: teltonika.Codec12, Payload: []byte("getinfo")})

func commandFrame(t testing.TB) []byte {
	frame, err := getinfo.Frame()
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// sendLater sends in the background and returns where the result will be.
func sendLater(ctx context.Context, l command.Sender, frame []byte) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := l.Send(ctx, frame, nil)
		done <- err
	}()
	synctest.Wait()
	return done
}

func TestCommandIsSentToAWaitingDevice(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.expectAlive()
		if _, err := b.sender().Send(context.Background(), commandFrame(t), nil); err != nil {
			t.Fatal(err)
		}
		d.expect("000000000000000f0c010500000007676574696e666f0100004312")
		d.expectAlive()
	})
}

func TestCommandWaitsForTheFirstACK(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		done := sendLater(context.Background(), b.sender(), commandFrame(t))
		d.expect("")
		frame := goodFrame(2)
		d.send(frame)
		d.expect(ack(2) + hex.EncodeToString(commandFrame(t)))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A device without anything to report gets its command all the same.
func TestCommandDoesNotWaitForEverForTheFirstACK(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		asked := time.Now()
		written := make(chan time.Time, 1)
		done := make(chan error, 1)
		sender := b.sender()
		go func() {
			at, err := sender.Send(context.Background(), commandFrame(t), nil)
			written <- at
			done <- err
		}()
		pass(firstACKTimeout - time.Millisecond)
		d.expect("")
		pass(time.Millisecond)
		if at := <-written; at.Sub(asked) != firstACKTimeout {
			t.Errorf("it says that it was sent after %v", at.Sub(asked))
		}
		d.expect(hex.EncodeToString(commandFrame(t)))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// While a frame is being stored its ACK comes first, whole, and the command behind it.
func TestCommandComesBehindTheACK(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.expectAlive()
		s.engine.Hold()
		d.send(goodFrame(3))
		done := sendLater(context.Background(), b.sender(), commandFrame(t))
		pass(time.Second)
		d.expect("")
		s.engine.Release()
		d.expect(ack(3) + hex.EncodeToString(commandFrame(t)))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A command that was not sent in its time is never sent.
func TestCommandTakenBackIsNotSent(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.expectAlive()
		s.engine.Hold()
		d.send(goodFrame(3))
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if _, err := b.sender().Send(ctx, commandFrame(t), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		s.engine.Release()
		d.expect(ack(3))
	})
}

// Whoever asks when the time is over already gets no command sent, however free the line is.
func TestCommandThatComesTooLate(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.expectAlive()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := b.sender().Send(over, commandFrame(t), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		d.expectAlive()
	})
}

// unnoticed is a context whose deadline has passed without anybody having been told yet.
type unnoticed struct{ context.Context }

func (unnoticed) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestCommandWhoseTimeIsJustOver(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.expectAlive()
		_, err := b.sender().Send(unnoticed{context.Background()}, commandFrame(t), nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		d.expectAlive()
	})
}

func TestCommandAfterTheEnd(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		waiting := sendLater(context.Background(), b.sender(), commandFrame(t))
		d.conn.Close()
		if err := <-waiting; !errors.Is(err, errEnded) {
			t.Errorf("the waiting command: %v", err)
		}
		if _, err := b.sender().Send(context.Background(), commandFrame(t), nil); !errors.Is(err, errEnded) {
			t.Errorf("a later command: %v", err)
		}
		if !slices.Equal(b.senders, b.ended) {
			t.Errorf("%d senders, %d ended", len(b.senders), len(b.ended))
		}
	})
}

// A device that takes over has a sender of its own, and the older one's end is told too.
func TestLinesOfATakeOver(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		s.login()
		older := b.sender()
		d := s.login()
		if newer := b.sender(); newer == older {
			t.Error("the newer connection has the older one's sender")
		}
		d.expectAlive()
		if _, err := older.Send(context.Background(), commandFrame(t), nil); !errors.Is(err, errEnded) {
			t.Errorf("sent on the older sender: %v", err)
		}
		if !slices.Equal(b.ended, []command.Sender{older}) {
			t.Errorf("%d senders ended", len(b.ended))
		}
	})
}

// A device that does not read is closed when the command cannot be written in time, and gets no ACK into the part of a
// command that it may have got.
func TestCommandToADeviceThatDoesNotRead(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		conn := s.listener.Dial()
		defer conn.Close()
		answer := make([]byte, 1)
		if _, err := conn.Write(loginOf(imei)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(answer); err != nil {
			t.Fatal(err)
		}
		pass(firstACKTimeout)
		begun := time.Now()
		_, err := b.sender().Send(context.Background(), commandFrame(t), nil)
		if err == nil || time.Since(begun) != writeTimeout {
			t.Errorf("error %v after %v", err, time.Since(begun))
		}
		synctest.Wait()
		s.expectReason(ReasonWriteTimeout)
	})
}

// A deadline that passes while the device rests wakes the process for nothing.
func TestNoWriteLeavesItsDeadline(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		unlimited := func(after string) {
			t.Helper()
			pass(writeTimeout)
			if _, err := b.sender().(*device).session.conn.Write([]byte{0xFE}); err != nil {
				t.Errorf("a write that nothing limits, after %s: %v", after, err)
			}
			d.expect("fe")
		}
		unlimited("a login")
		d.expectAlive()
		unlimited("a frame")
		if _, err := b.sender().Send(context.Background(), commandFrame(t), nil); err != nil {
			t.Fatal(err)
		}
		d.expect(hex.EncodeToString(commandFrame(t)))
		unlimited("a command")
	})
}

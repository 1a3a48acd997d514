package commandtest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Two devices.
const (
	deviceA = "356307042441013"
	deviceB = "352093081452251"
)

var (
	// patient lets nothing end by itself while a case goes on.
	patient = command.Timeouts{Send: 10 * time.Second, Quarantine: time.Minute, Gap: time.Minute}
	// hasty lets everything end soon.
	hasty = command.Timeouts{Send: 50 * time.Millisecond, Quarantine: 200 * time.Millisecond, Gap: 100 * time.Millisecond}
)

var lastCommand atomic.Int64

// newCommand returns a command with an id that no other one has.
func newCommand(imei string) command.Command {
	number := lastCommand.Add(1)
	c := command.Command{ID: fmt.Sprintf("command-%d", number), IMEI: imei,
		Payload: fmt.Appendf(nil, "setdigout %d", number)}
	c.Complete(time.Now())
	return c
}

// newCommands returns several ones.
func newCommands(imei string, count int) (all []command.Command) {
	for range count {
		all = append(all, newCommand(imei))
	}
	return all
}

// expired returns a command whose time was over before anybody could have sent it.
func expired(imei string) command.Command {
	c := newCommand(imei)
	c.Created = c.Created.Add(-time.Hour)
	c.Expires = c.Created.Add(time.Minute)
	return c
}

// expiresSoon returns a command that expires soon, after try has succeeded with it before that. On a busy machine it
// tries again with one that lives longer.
func expiresSoon(t *testing.T, imei string, try func(c command.Command) bool) command.Command {
	t.Helper()
	for life := 150 * time.Millisecond; ; life *= 4 {
		c := newCommand(imei)
		c.Expires = c.Created.Add(life)
		if try(c) {
			return c
		}
		if life > limit {
			t.Fatalf("a command that expires after %v has expired before it was used", life)
		}
	}
}

// answer is what a device sends as an answer to Codec 12.
func answer(imei, text string) *command.Message {
	return message(imei, teltonika.Codec12, teltonika.TypeResponse, "", text)
}

func message(imei string, codec teltonika.Codec, kind byte, named, text string) *command.Message {
	return &command.Message{IMEI: imei, Codec: codec, Type: kind, Named: named, Payload: []byte(text),
		Received: time.Now()}
}

func ids(commands []command.Command) (all []string) {
	for _, c := range commands {
		all = append(all, c.ID)
	}
	return all
}

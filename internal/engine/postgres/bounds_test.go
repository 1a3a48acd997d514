package postgres

import (
	"bytes"
	"strconv"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestRoom floods the store with a stranger's dead letters and with messages: both stay within their bounds, a known
// device's dead letter stays, and of the messages the newest do.
func TestRoom(t *testing.T) {
	const limit = 100_000
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "room")
	e := d.start(t, func(o *Options) { o.DeadLetterMaxBytes, o.MessageMaxBytes = limit, limit })
	b := enginetest.NewBatch(device, 0, 1)
	store(t, e, b)
	store(t, e, &engine.Batch{DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(device, 0)}})
	epochs := b.Epochs
	for i := range 60 {
		flood := &engine.Batch{}
		for n := range 10 {
			dead, message := enginetest.NewDeadLetter("352093081452251", n), enginetest.NewMessage(device, 10*i+n)
			dead.Frame, message.Payload = bytes.Repeat([]byte{1}, 500), bytes.Repeat([]byte{byte(i)}, 500)
			flood.DeadLetters, flood.Messages = append(flood.DeadLetters, dead), append(flood.Messages, message)
		}
		store(t, e, flood)
		epochs = flood.Epochs
		for _, kind := range []string{"dead_letters", "messages"} {
			total := d.sql("SELECT sum(bytes) FROM ingestion_totals WHERE kind = '" + kind + "'")
			if n, _ := strconv.Atoi(total); n > limit || total != d.sql("SELECT sum(bytes) FROM "+kind) {
				t.Fatalf("%s take %s bytes, or not", kind, total)
			}
		}
	}
	if epochs == b.Epochs {
		t.Error("the epochs do not say that dead letters were removed")
	}
	if got := d.sql("SELECT count(*) FILTER (WHERE known), count(*) > 50 FROM dead_letters"); got != "1|t" {
		t.Errorf("dead letters: %s", got)
	}
	if got := d.sql("SELECT max(ts) - min(ts) < 100000, max(seq) FROM messages"); got != "t|600" {
		t.Errorf("messages: %s", got)
	}
	status, err := e.Probe(t.Context())
	if err != nil || status.MessagesRemoved == 0 || status.DeadLetterBytes == 0 || status.MessageLimit != limit {
		t.Errorf("%+v, %v", status, err)
	}
}

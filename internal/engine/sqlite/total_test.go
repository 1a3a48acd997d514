package sqlite

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// TestMessagesAreBoundedAtTheWrite has a device send far more messages than there is room for. The oldest go, which is
// counted and said once, and no message that a lane remembers is lost by it.
func TestMessagesAreBoundedAtTheWrite(t *testing.T) {
	const limit = 10 * (2*1000 + rowOverhead)
	e := start(t)
	var log bytes.Buffer
	w, _ := e.turns.Take(t.Context())
	w.messages.limit, w.log = limit, slog.New(slog.NewTextHandler(&log, nil))
	e.turns.Give(w)
	var first, last engine.Batch
	for i, b := range []*engine.Batch{&first, {}, {}, {}, &last} {
		for n := range 7 {
			m := enginetest.NewMessage(device, 7*i+n)
			m.Payload = make([]byte, 1000)
			b.Messages = append(b.Messages, m)
		}
		b.Known[engine.KindMessage] = true
		storeAll(t, e, enginetest.Sized(b))
	}
	seqs := query[int64](t, e.path, "SELECT seq FROM messages ORDER BY seq")
	if len(seqs) != 10 || seqs[0] != 26 || seqs[9] != 35 {
		t.Errorf("the messages %d are left, want 26 to 35", seqs)
	}
	status, err := e.Probe(t.Context())
	if err != nil || status.MessageBytes != limit || status.MessageLimit != limit || status.MessagesRemoved != 25 {
		t.Errorf("the probe shows %+v, %v", status, err)
	}
	if first.Epochs != last.Epochs {
		t.Errorf("epochs %v after %v: what goes for its bytes is taken for a loss", last.Epochs, first.Epochs)
	}
	if n := strings.Count(log.String(), "oldest messages removed"); n != 1 {
		t.Errorf("there are %d warnings:\n%s", n, &log)
	}
}

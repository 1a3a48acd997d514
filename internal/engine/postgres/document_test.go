package postgres

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// whole is a record as it is published, with every field; its attributes and signals are in the order of jsonb.
const whole = `{"device_id":"356307042441013","timestamp":"2019-06-10T10:04:46.000Z","latitude":54.667425,` +
	`"longitude":25.2560283,"altitude":172,"angle":248,"speed":0,"satellites":11,"priority":1,` +
	`"attributes":{"9":1,"21":3,"78":{"__bigint":"0"},"385":{"__buffer_b64":"EQ=="}},"event_id":66,"fix":"ok",` +
	`"codec":"8E","received_at":"2026-11-30T20:19:42.652Z","id":"356307042441013-1560161086000-12b2e48e37022734",` +
	`"clock":"unset","signals":{"c":"x, \"y\": {z} \\","a.b":[1,2]},"faults":{},"device":{"by":"list","family":"fmb"},` +
	`"dict":"2026.11","raw":"AA==","more":{"id":null}}`

func TestArrange(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{}`, `{}`}, {`[1, 2]`, `[1, 2]`}, {`null`, `null`}, {`"x"`, `"x"`},
		{`{"id": "1"}`, `{"id":"1"}`},
		{`{"id": "a b", "fix": "ok", "device_id": "1"}`, `{"device_id":"1","fix":"ok","id":"a b"}`},
		{`{"ids": [{"id": 1}, {}], "device": {"id": "}"}, "id": "\\", "timestamp": "t"}`,
			`{"timestamp":"t","id":"\\","device":{"id":"}"},"ids":[{"id":1},{}]}`},
		{whole, whole},
	} {
		if got := string(arrange([]byte(c.text))); got != c.want {
			t.Errorf("%s becomes\n%s, want\n%s", c.text, got, c.want)
		}
	}
}

// TestReadAsPublished stores a whole record, which every reader gives back as it was published.
func TestReadAsPublished(t *testing.T) {
	e := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "published").start(t)
	b := enginetest.NewBatch(device, 0, 1)
	b.Records[0].Payload = []byte(whole)
	if r := store(t, e, b); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	compare := func(reader string, payload []byte) error {
		if string(payload) != whole {
			t.Errorf("%s gives\n%s, want\n%s", reader, payload, whole)
		}
		return nil
	}
	var ref string
	err := e.EachRecord(t.Context(), func(r string, payload []byte) error {
		ref = r
		return compare("EachRecord", payload)
	})
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := e.LastRecords(t.Context(), device, 1)
	if err != nil || len(last) != 1 {
		t.Fatalf("%d last records, %v", len(last), err)
	}
	_ = compare("LastRecords", last[0])
	c, err := e.Consumer(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.Next(t.Context(), 1, 5*time.Second); err != nil || len(got) != 1 {
		t.Errorf("%d records for the consumer, %v", len(got), err)
	} else {
		_ = compare("Next", got[0])
	}
	replacements := []engine.Replacement{{Ref: ref, Was: []byte(whole), Now: []byte(`{"id":"new"}`)}}
	for i, want := range []int{1, 0} {
		if n, err := e.ReplaceRecords(t.Context(), replacements); err != nil || n != want {
			t.Errorf("time %d: %d replaced, %v", i, n, err)
		}
	}
}

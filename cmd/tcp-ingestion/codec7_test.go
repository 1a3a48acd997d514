package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// gh3000 is a frame of a GH device: three records with and without a position, and one with the network's signal alone.
const gh3000 = "0000000000000055070450aa14320201f00150aa17f3031f422e379c41afed13008d00020901f00150aa1b6a031f" +
	"422e914541af78d6009d00000a01f00150aa1c230fc01a0000552b040164f400dd00f0010143100c010500000005040000bb0c"

// A device of Codec 7 is acknowledged and published by every engine, and stored once when it sends again.
func TestCodec7Device(t *testing.T) {
	forEachStore(t, func(t *testing.T, s store) {
		frame, err := hex.DecodeString(gh3000)
		if err != nil {
			t.Fatal(err)
		}
		d := testkit.Dial(t, startServer(t, s.settings).devices)
		d.MustLogin(buriedDevice)
		for range 2 {
			d.Send(frame)
			d.ExpectACK(4)
		}
		stored := s.payloads(t)
		if len(stored) != 4 || len(s.listDeadLetters(t)) != 0 {
			t.Fatalf("%d records and %d dead letters, want 4 and none", len(stored), len(s.listDeadLetters(t)))
		}
		for _, want := range []string{
			`{"timestamp":"2015-11-10T21:35:46.000Z","priority":1,"attributes":{"240":1},"fix":"none","codec":"7"}`,
			`{"latitude":43.554306,"longitude":21.9907589,"altitude":141,"angle":0,"speed":2,"satellites":9,"priority":1}`,
			`{"attributes":{"__signal":26,"__operator":21803,"1":100,"244":0,"221":0,"240":1,"67":4108,"5":5}}`,
		} {
			if !slices.ContainsFunc(stored, func(p string) bool { return holds(t, p, want) }) {
				t.Errorf("no record with %s in\n%s", want, strings.Join(stored, "\n"))
			}
		}
	})
}

// holds reports whether the document has all fields of the other one, with the same values.
func holds(t *testing.T, document, fields string) bool {
	t.Helper()
	var has, want map[string]any
	if err := errors.Join(json.Unmarshal([]byte(document), &has), json.Unmarshal([]byte(fields), &want)); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if !reflect.DeepEqual(has[name], value) {
			return false
		}
	}
	return true
}

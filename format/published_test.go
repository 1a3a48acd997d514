package format_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// origins are the packets that the cases come from: a vector by its name or a frame of the traffic by its number, and
// which of its records it is.
var origins = map[string]struct {
	vector        string
	frame, record int
	plain         bool // without signals
}{
	"clock-ahead":        {vector: "igor-lc-tcp-avl-c8-002"},
	"codec16":            {vector: "wiki-tcp-avl-c16-001"},
	"codec7-cell":        {vector: "traccar-tcp-avl-c7-002"},
	"codec7-no-position": {vector: "traccar-tcp-avl-c7-001"},
	"codec7-position":    {vector: "traccar-tcp-avl-c7-001", record: 1},
	"fault":              {frame: 2016},
	"fix-8e":             {frame: 77},
	"list-of-words":      {vector: "arcijsg-tcp-avl-c8-001"},
	"no-fix-fault":       {vector: "mcraiha-tcp-avl-c8-001"},
	"stale-8e":           {vector: "svenpete-tcp-avl-c8e-011"},
	"without-signals":    {vector: "dameg-tcp-avl-c8e-010", record: 2, plain: true},
}

// TestCasesAreWhatIsPublished makes the cases' records from their packets.
func TestCasesAreWhatIsPublished(t *testing.T) {
	vectors, traffic := vectorPackets(t), trafficPackets(t)
	for name, from := range origins {
		packet := vectors[from.vector]
		if from.vector == "" {
			packet = traffic[from.frame]
		}
		want, err := os.ReadFile("testdata/" + name + "/record.json")
		if err != nil {
			t.Fatal(err)
		}
		if got := published(t, packet, from.record, from.plain); got != string(bytes.TrimSpace(want)) {
			t.Errorf("%s: published is\n%s, the case has\n%s", name, got, want)
		}
	}
	if dirs, _ := os.ReadDir("testdata"); len(dirs) < len(origins) {
		t.Errorf("%d cases have no folder", len(origins)-len(dirs))
	}
}

func published(t *testing.T, packet string, n int, plain bool) string {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSpace(packet))
	if err != nil {
		t.Fatal(err)
	}
	frame, _, err := teltonika.ParseFrame(b, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	var data teltonika.AVLData
	if err := data.Decode(frame.Body()); err != nil {
		t.Fatal(err)
	}
	const imei = "356307042441013"
	origin := record.Origin{
		DeviceID: imei, Codec: data.Codec, Received: time.Date(2026, 11, 22, 11, 0, 0, 123e6, time.UTC),
		Meaning: meaning.NewDevice(meaning.Embedded(), imei),
	}
	if plain {
		origin.Meaning = nil
	}
	var encoder record.Encoder
	encoder.Begin(origin)
	payload := ""
	for i := range data.Records[:n+1] { // the device is known by the records before it too
		_, records, err := encoder.Append(nil, nil, &data.Records[i])
		if err != nil {
			t.Fatal(err)
		}
		payload = string(records[0].Payload)
	}
	return payload
}

func vectorPackets(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"frames.jsonl", "codec7.jsonl"} {
		file, err := os.Open("../teltonika/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for d := json.NewDecoder(file); d.More(); {
			var v struct{ Name, Hex string }
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			all[v.Name] = v.Hex
		}
	}
	return all
}

func trafficPackets(t *testing.T) []string {
	t.Helper()
	file, err := os.Open("../teltonika/testdata/traffic.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

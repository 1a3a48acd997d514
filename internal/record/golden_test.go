package record

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

var update = flag.Bool("update", false, "write testdata/*.golden.json anew")

// goldenVectors are the vectors whose documents stand in testdata, indented for reading.
var goldenVectors = []string{
	"wiki-tcp-avl-c8-002",
	"wiki-tcp-avl-c8e-001",
	"wiki-tcp-avl-c16-001",
	"svenpete-tcp-avl-c8e-011", // 8-byte and variable-length elements
	"synth-tcp-avl-c8-011",     // below sea level, in the south-west
	"synth-tcp-avl-c8-015",     // an id twice in one group
	"synth-tcp-avl-c8-016",     // an id twice, in two groups
	"traccar-tcp-avl-c7-001",   // without a position, with one, and with the network's signal alone
	"traccar-tcp-avl-c7-002",   // with the mobile network's cell
}

func TestGoldens(t *testing.T) {
	found := 0
	for _, v := range avlVectors(t) {
		for _, name := range goldenVectors {
			if v.Name == name {
				found++
				t.Run(name, func(t *testing.T) { checkGolden(t, v) })
			}
		}
	}
	if found != len(goldenVectors) {
		t.Errorf("%d of %d vectors found", found, len(goldenVectors))
	}
}

func checkGolden(t *testing.T, v vector) {
	var data teltonika.AVLData
	if err := data.Decode(v.body); err != nil {
		t.Fatal(err)
	}
	encoder := Encoder{Raw: true}
	encoder.Begin(origin(data.Codec))
	var got bytes.Buffer
	for i := range data.Records {
		_, doc, err := appendOne(&encoder, nil, &data.Records[i])
		if err != nil {
			t.Fatal(err)
		}
		// Indent keeps order and spelling.
		if err := json.Indent(&got, doc.Payload, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
	}
	path := filepath.Join("testdata", v.Name+".golden.json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("differs from %s (-update writes it anew):\n%s", path, firstDifference(got.String(), string(want)))
	}
}

func firstDifference(got, want string) string {
	wants := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(wants) || line != wants[i] {
			return "got  " + line + "\nwant " + strings.Join(wants[min(i, len(wants)):min(i+1, len(wants))], "")
		}
	}
	return "shorter than expected"
}

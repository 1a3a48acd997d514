package format

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the goldens of testdata anew")

// eachCase calls fn with the folder and the document of each case.
func eachCase(t *testing.T, fn func(t *testing.T, dir string, document []byte)) {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*")
	if err != nil || len(dirs) < 10 {
		t.Fatalf("%d cases, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		document, err := os.ReadFile(filepath.Join(dir, "record.json"))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(dir), func(t *testing.T) { fn(t, dir, bytes.TrimSpace(document)) })
	}
}

// TestGoldens compares every format of every case with its file, indented for reading.
func TestGoldens(t *testing.T) {
	eachCase(t, func(t *testing.T, dir string, document []byte) {
		for _, name := range Names()[1:] {
			out, err := Named(name)(document)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, out, "", "  "); err != nil {
				t.Fatalf("%s: %v: %s", name, err, out)
			}
			got.WriteByte('\n')
			path := filepath.Join(dir, name+".json")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("differs from %s (-update writes it anew):\n%s", path, got.String())
			}
		}
	})
}

func TestNativeIsTheDocument(t *testing.T) {
	eachCase(t, func(t *testing.T, _ string, document []byte) {
		if out, err := Native(document); err != nil || !bytes.Equal(out, document) {
			t.Errorf("%s, %v", out, err)
		}
	})
}

// TestNoPlaceIsMadeUp finds no coordinates of a record without a fix, whatever a platform calls them, and no fix of one
// that repeats a place.
func TestNoPlaceIsMadeUp(t *testing.T) {
	seen := map[string]int{}
	eachCase(t, func(t *testing.T, _ string, document []byte) {
		r, err := parse(document)
		if err != nil {
			t.Fatal(err)
		}
		seen[r.Fix]++
		for _, name := range Names()[1:] {
			out, _ := Named(name)(document)
			text := string(out)
			place := strings.Contains(text, `latitude"`) || strings.Contains(text, `"coordinates"`)
			fresh := strings.Contains(text, `alid":true`) || strings.Contains(text, `"fix":"ok"`)
			wantPlace := r.Fix == fixOK || r.Fix == fixStale && name != "thingsboard"
			if place != wantPlace || fresh != (r.Fix == fixOK) {
				t.Errorf("%s of a record whose fix is %s: place %v, good %v\n%s", name, r.Fix, place, fresh, text)
			}
		}
	})
	if seen[fixOK] == 0 || seen[fixStale] == 0 || seen["none"] == 0 {
		t.Errorf("the cases have the fixes %v", seen)
	}
}

// TestEveryElementIsThere finds each element by its name or by its id, but never a code for a fault by its id.
func TestEveryElementIsThere(t *testing.T) {
	flat := map[string]string{"flespi": "custom.param.", "traccar": "io", "thingsboard": "io"}
	eachCase(t, func(t *testing.T, _ string, document []byte) {
		r, err := parse(document)
		if err != nil {
			t.Fatal(err)
		}
		for name, prefix := range flat {
			out, _ := Named(name)(document)
			byID := strings.Count(string(out), `"`+prefix)
			elements := 0
			for _, a := range r.Attributes {
				if !strings.HasPrefix(a.key, "__") {
					elements++
				}
			}
			if named := len(r.Signals) + len(r.Faults); byID+named < elements {
				t.Errorf("%s: %d elements, %d named, %d by id\n%s", name, elements, named, byID, out)
			}
			for _, f := range r.Faults {
				if !strings.Contains(string(out), fmt.Sprintf(`"fault.%s":%s`, f.key, f.value)) {
					t.Errorf("%s: fault %s is missing", name, f.key)
				}
			}
		}
	})
}

// TestKeysComeOnce reads what is written with a reader that minds.
func TestKeysComeOnce(t *testing.T) {
	const twice = `{"device_id":"1","timestamp":"2026-01-01T00:00:00.000Z","attributes":{"__lac":1,"206":2},` +
		`"fix":"none","signals":{"gsm.lac":2,"a":1,"a":2}}`
	check := func(t *testing.T, document []byte) {
		for _, name := range Names()[1:4] {
			out, err := Named(name)(document)
			if err != nil {
				t.Fatal(err)
			}
			wantKeysOnce(t, json.NewDecoder(bytes.NewReader(out)))
		}
	}
	check(t, []byte(twice))
	eachCase(t, func(t *testing.T, _ string, document []byte) { check(t, document) })
}

func wantKeysOnce(t *testing.T, d *json.Decoder) {
	t.Helper()
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	open, nested := token.(json.Delim)
	if !nested {
		return
	}
	keys := map[string]bool{}
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			if keys[key.(string)] {
				t.Errorf("%s comes twice", key)
			}
			keys[key.(string)] = true
		}
		wantKeysOnce(t, d)
	}
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
}

func TestNoRecord(t *testing.T) {
	for _, document := range []string{
		"", "{}", "[]", "nonsense", `{"device_id":"1"}`, `{"device_id":"1","timestamp":"yesterday"}`,
		`{"device_id":"1","timestamp":"2026-01-01T00:00:00.000Z","attributes":[]}`,
		`{"device_id":"1","timestamp":"2026-01-01T00:00:00.000Z","signals":7}`,
	} {
		for _, name := range Names() {
			if out, err := Named(name)([]byte(document)); err == nil {
				t.Errorf("%s of %q is %s", name, document, out)
			}
		}
	}
	if Named("gpx") != nil {
		t.Error("there is a format that is none")
	}
}

// TestNumbersBeyondWhatNumbersHold are text, and exact.
func TestNumbersBeyondWhatNumbersHold(t *testing.T) {
	for value, want := range map[string]string{
		`{"__bigint":"9007199254740992"}`: `9007199254740992`, `{"__bigint":"9007199254740993"}`: `"9007199254740993"`,
		`{"__bigint":"x"}`: `"x"`, `{"__buffer_b64":"EQ=="}`: `"11"`, `{"__buffer_b64":""}`: `""`, `7`: `7`,
		`{"other":1}`: `{"other":1}`,
	} {
		if got := string(plain(json.RawMessage(value))); got != want {
			t.Errorf("%s is %s, want %s", value, got, want)
		}
	}
}

// FuzzFormats makes valid JSON, or an error, of anything.
func FuzzFormats(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*/record.json")
	for _, path := range paths {
		if document, err := os.ReadFile(path); err == nil {
			f.Add(document)
		}
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, name := range Names() {
			if out, err := Named(name)(document); err == nil && !json.Valid(out) {
				t.Errorf("%s: %s", name, out)
			}
		}
	})
}

package redecode

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

var received = time.Date(2026, 11, 22, 11, 0, 0, 123e6, time.UTC)

// eachFrame calls fn with every frame of the sample of real traffic, decoded, as of a device that nobody knows.
func eachFrame(t *testing.T, fn func(n int, data *teltonika.AVLData)) {
	t.Helper()
	file, err := os.Open("../../teltonika/testdata/traffic.txt.gz")
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
	var data teltonika.AVLData
	n := 0
	for line := range strings.Lines(string(text)) {
		packet, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		frame, _, err := teltonika.ParseFrame(packet, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		if err := data.Decode(frame.Body()); err != nil {
			t.Fatal(err)
		}
		fn(n, &data)
		n++
	}
	if n < 8000 {
		t.Fatalf("%d frames", n)
	}
}

// published are the records as the service publishes them, each of a device of which nothing else is known.
func published(t *testing.T, imei string, data *teltonika.AVLData, device *meaning.Device, raw bool) [][]byte {
	t.Helper()
	encoder := record.Encoder{Raw: raw}
	encoder.Begin(record.Origin{DeviceID: imei, Codec: data.Codec, Received: received, Meaning: device})
	var records []engine.Record
	var documents [][]byte
	for i := range data.Records {
		var err error
		if _, records, err = encoder.Append(nil, records[:0], &data.Records[i]); err != nil {
			t.Fatal(err)
		}
		documents = append(documents, records[0].Payload)
	}
	return documents
}

func fresh(imei string) *meaning.Device { return meaning.NewDevice(meaning.Embedded(), imei) }

// TestWithRawItIsAsPublished takes the meaning away and gets it back, byte by byte, from the records' own bytes.
func TestWithRawItIsAsPublished(t *testing.T) {
	eachFrame(t, func(n int, data *teltonika.AVLData) {
		if n%20 != 0 {
			return
		}
		imei := fmt.Sprintf("3563070%08d", n)
		d := New(meaning.Embedded(), nil)
		want := published(t, imei, data, fresh(imei), true)
		for i, without := range published(t, imei, data, nil, true) {
			for _, document := range [][]byte{without, want[i]} {
				got, err := d.Document(t.Context(), document)
				if err != nil || !bytes.Equal(got, want[i]) {
					t.Fatalf("frame %d, record %d: %v\n%s\nwant\n%s", n, i, err, got, want[i])
				}
			}
		}
	})
}

// said is what a document says of elements: the members of signals and faults.
func said(t *testing.T, document []byte) map[string]string {
	t.Helper()
	var r struct {
		Signals, Faults map[string]json.RawMessage
	}
	if err := json.Unmarshal(document, &r); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for name, value := range r.Signals {
		all[name] = string(value)
	}
	for name, reason := range r.Faults {
		all[name] = "fault " + string(reason)
	}
	return all
}

// TestFromAttributesNothingIsOtherwise never says anything else than with the widths that were sent, only less.
func TestFromAttributesNothingIsOtherwise(t *testing.T) {
	named, again, all := 0, 0, 0
	eachFrame(t, func(n int, data *teltonika.AVLData) {
		if n%4 != 0 {
			return // the whole takes long with the race detector
		}
		imei := fmt.Sprintf("3563070%08d", n)
		d, later := New(meaning.Embedded(), nil), New(meaning.Embedded(), nil)
		want := published(t, imei, data, fresh(imei), false)
		for i, document := range published(t, imei, data, nil, false) {
			got, err := d.Document(t.Context(), document)
			if err != nil {
				t.Fatal(err)
			}
			is, full := said(t, got), said(t, want[i])
			for name, value := range is {
				if full[name] != value {
					t.Errorf("frame %d, record %d: %s is %s, published as %q", n, i, name, value, full[name])
				}
			}
			named, all = named+len(is), all+len(full)
			if got, err = later.Document(t.Context(), want[i]); err != nil {
				t.Fatal(err)
			}
			kept := said(t, got)
			for name, value := range kept {
				if full[name] != value {
					t.Errorf("frame %d, record %d: %s is %s, was %q", n, i, name, value, full[name])
				}
			}
			again += len(kept)
		}
	})
	share := float64(named) / float64(all)
	t.Logf("from attributes %.1f %% of what is named with the widths, %.1f %% with the names that were there",
		100*share, 100*float64(again)/float64(all))
	if float64(again) < 0.99*float64(all) {
		t.Errorf("%d of %d names are left", again, all)
	}
	if share < 0.8 {
		t.Errorf("only %d of %d", named, all)
	}
}

// document is one of a device of Codec 8 Extended.
func document(attributes, rest string) []byte {
	return fmt.Appendf(nil, `{"device_id":"356307042441013","timestamp":"2026-11-22T11:00:00.000Z","attributes":{%s},`+
		`"codec":"8E","id":"x"%s}`, attributes, rest)
}

func redecoded(t *testing.T, d *Decoder, doc []byte) string {
	t.Helper()
	got, err := d.Document(t.Context(), doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// TestOnlyTheMeaningChanges keeps everything else as it is written, also what this version does not know, and in its
// place.
func TestOnlyTheMeaningChanges(t *testing.T) {
	d := New(meaning.Embedded(), nil)
	old := `,"clock":"future","signals":{"wrong":1},"faults":{"wrong":"x"},"device":{"family":"tat","by":"elements"},` +
		`"dict":"2020.01","later":[1, 2]`
	got := redecoded(t, d, document(`"66":12044,"239":1`, old))
	for _, want := range []string{
		`"attributes":{"66":12044,"239":1},"codec":"8E","id":"x","clock":"future","later":[1, 2],"signals":{`,
		`"external.powersource.voltage":12.044`, `"engine.ignition.status":true`,
		`"device":{"family":"fmb","by":"elements"},"dict":"` + meaning.Embedded().Version() + `"}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if strings.Contains(got, "wrong") {
		t.Errorf("the old meaning is left in %s", got)
	}
	if again := redecoded(t, d, []byte(got)); again != got {
		t.Errorf("a second time it is %s", again)
	}
}

// TestNothingToSay has documents without members for it.
func TestNothingToSay(t *testing.T) {
	for _, doc := range []string{
		string(document("", "")), string(document(`"65000":7`, "")),
		`{"device_id":"1","codec":"7","attributes":{"240":1},"id":"x"}`,
	} {
		if got := redecoded(t, New(meaning.Embedded(), nil), []byte(doc)); got != doc {
			t.Errorf("%s becomes %s", doc, got)
		}
	}
}

// TestKnownFamily takes what the document says of its device for true unless it was a guess, and the map for more.
func TestKnownFamily(t *testing.T) {
	const attributes = `"66":12044,"25":250` // of FMB a temperature, of FMx6xx the engine's
	by := func(family, by string) string { return `,"device":{"family":"` + family + `","by":"` + by + `"}` }
	for _, c := range []struct {
		rest   string
		mapped meaning.Identity
		want   string
	}{
		{by("fmx6", "getver"), meaning.Identity{}, `"can.engine.temperature":25`},
		{by("fmx6", "map"), meaning.Identity{}, `"can.engine.temperature":25`},
		{by("fmx6", "elements"), meaning.Identity{}, ""},
		{by("fmb", "map"), meaning.Identity{}, `"ble.sensor.temperature.1":2.5`},
		{by("fmb", "getver"), meaning.Identity{}, ""}, // its firmware is not known
		{by("fmb", "getver") + `,"signals":{"ble.sensor.temperature.1":25}`, meaning.Identity{},
			`"ble.sensor.temperature.1":25`},
		{by("fmb", "getver") + `,"signals":{"ble.sensor.temperature.1":2.5}`, meaning.Identity{},
			`"ble.sensor.temperature.1":2.5`},
		{by("fmb", "getver"), meaning.Identity{Family: meaning.FMX6, By: meaning.ByMap}, `"can.engine.temperature":25`},
	} {
		d := New(meaning.Embedded(), func(context.Context, string) (Known, error) { return Known{Mapped: c.mapped}, nil })
		got := redecoded(t, d, document(attributes, c.rest))
		if !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, "temperature") {
			t.Errorf("%s, map %v: %s, want %s", c.rest, c.mapped, got, c.want)
		}
	}
}

// TestKeptDevice takes what the service has kept for more than what the document says.
func TestKeptDevice(t *testing.T) {
	for firmware, want := range map[string]string{"03.27.07_00": ":25", "03.28.00_00": ":2.5"} {
		d := New(meaning.Embedded(), func(_ context.Context, imei string) (Known, error) {
			if imei != "356307042441013" {
				t.Errorf("asked of %s", imei)
			}
			return Known{Said: meaning.Identity{Model: "FMC130", Firmware: firmware, By: meaning.ByGetver}}, nil
		})
		got := redecoded(t, d, document(`"25":250`, `,"device":{"family":"fmx6","by":"getver"}`))
		if !strings.Contains(got, `"ble.sensor.temperature.1"`+want) {
			t.Errorf("firmware %s: %s", firmware, got)
		}
	}
	gone := errors.New("gone")
	d := New(meaning.Embedded(), func(context.Context, string) (Known, error) { return Known{}, gone })
	got, err := d.Document(t.Context(), document(`"66":1`, ""))
	if !errors.Is(err, gone) || errors.Is(err, stored.ErrNoRecord) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestOverridesOfToday(t *testing.T) {
	dictionary, err := meaning.Embedded().Override("imei:356307042441013\t65000\tx\ttank.name\ttext\n")
	if err != nil {
		t.Fatal(err)
	}
	got := redecoded(t, New(dictionary, nil), document(`"65000":{"__buffer_b64":"b2ls"}`, ""))
	if !strings.Contains(got, `"signals":{"tank.name":"oil"}`) || !strings.Contains(got, dictionary.Version()) {
		t.Errorf("the override does not count: %s", got)
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	for _, doc := range []string{
		"", "[]", "{}", `{"device_id":"1","codec":"8"`, `{"device_id":"1","codec":"8","attributes":{"1":-1}}`,
		`{"device_id":"1","codec":"8","attributes":{"1":{}}}`, `{"device_id":"1","codec":"8","attributes":{"1":99999999999}}`,
		`{"device_id":"1","codec":"8","attributes":{},"raw":"AAAA"}`,
		`{"device_id":"1","codec":"9","attributes":{},"raw":"AA=="}`,
	} {
		if got, err := New(meaning.Embedded(), nil).Document(t.Context(), []byte(doc)); !errors.Is(err, stored.ErrNoRecord) {
			t.Errorf("%s becomes %s, %v", doc, got, err)
		}
	}
}

// TestManyDevices forgets some, and no document comes out wrong for it.
func TestManyDevices(t *testing.T) {
	d := New(meaning.Embedded(), nil)
	for n := range maxDevices + 10 {
		doc := fmt.Appendf(nil, `{"device_id":"%d","codec":"8","attributes":{"66":12044},"id":"x"}`, n)
		if got := redecoded(t, d, doc); !strings.Contains(got, `voltage":12.044`) {
			t.Fatal(got)
		}
	}
	if len(d.devices) > maxDevices {
		t.Errorf("%d devices are kept", len(d.devices))
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(document(`"66":12044,"78":{"__bigint":"0"},"385":{"__buffer_b64":"EQ=="}`, `,"raw":"AAAA"`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if got, err := New(meaning.Embedded(), nil).Document(t.Context(), doc); err == nil && !json.Valid(got) {
			t.Errorf("%s becomes %s", doc, got)
		}
	})
}

func BenchmarkDocument(b *testing.B) {
	doc := document(`"21":3,"66":12044,"67":4012,"239":1,"240":0,"1":1,"179":0,"72":247,"73":3000,"205":11493,"16":4096`,
		"")
	d := New(meaning.Embedded(), nil)
	for b.Loop() {
		if _, err := d.Document(b.Context(), doc); err != nil {
			b.Fatal(err)
		}
	}
}

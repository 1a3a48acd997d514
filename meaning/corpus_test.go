package meaning_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// trafficRecords are those of a sample of real traffic, 8,752 frames.
func trafficRecords(t *testing.T) (all []teltonika.Record) {
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
	for lines := bufio.NewScanner(unzipped); lines.Scan(); {
		all = append(all, frameRecords(t, lines.Bytes())...)
	}
	return all
}

func frameRecords(t *testing.T, text []byte) []teltonika.Record {
	t.Helper()
	b := make([]byte, len(text)/2)
	if _, err := hex.Decode(b, text); err != nil {
		t.Fatal(err)
	}
	body, err := []byte(nil), error(nil)
	if frame, _, wrong := teltonika.ParseFrame(b, 1<<16); wrong == nil {
		body = frame.Body()
	} else if d, wrong := teltonika.ParseDatagram(b); wrong == nil {
		body = d.Body
	}
	var data teltonika.AVLData
	if err = data.Decode(body); err != nil || data.Codec == teltonika.Codec7 {
		return nil
	}
	return data.Records
}

// packetRecords are those of all packets of the protocol's test vectors, and of those collected in the field.
func packetRecords(t *testing.T) (all []teltonika.Record) {
	t.Helper()
	for _, name := range []string{"frames.jsonl", "field.jsonl"} {
		text, err := os.ReadFile("../teltonika/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for dec := json.NewDecoder(bytes.NewReader(text)); dec.More(); {
			var packet struct{ Hex string }
			if err := dec.Decode(&packet); err != nil {
				t.Fatal(err)
			}
			if len(packet.Hex)%2 == 0 {
				all = append(all, frameRecords(t, []byte(packet.Hex))...)
			}
		}
	}
	return all
}

// read reads a record as one of a device of which nothing else is known, and counts the elements that have a meaning.
// Each must be what every family that the device may be of says by itself, and none an error code.
func read(t *testing.T, r *teltonika.Record) (elements, named int) {
	t.Helper()
	var e meaning.Evidence
	d := meaning.Embedded()
	for _, el := range r.Elements {
		e.Add(d, meaning.Element{ID: el.ID, Width: meaning.Width(el.Group), Number: el.Uint()})
	}
	reader := meaning.Resolve(d, "356307042441013", meaning.Identity{}, &e)
	for _, el := range r.Elements {
		elements++
		raw, w := rawOf(r, el), meaning.Width(el.Group)
		v, why := reader.Decode(el.ID, w, raw)
		if why != meaning.Named {
			continue
		}
		named++
		for _, f := range reader.Candidates() {
			for _, own := range d.Lookup(f, "", el.ID, w) {
				want := own.Decode(raw, false)
				if v.Name != want.Name || v.Unit != want.Unit || v.Text() != want.Text() || v.Fault != want.Fault {
					t.Errorf("%d of width %v, %x: %v says %v, and %v %v", el.ID, w, raw, reader, v, f, want)
				}
				checkNoErrorCode(t, own, raw, v)
			}
		}
	}
	return elements, named
}

func rawOf(r *teltonika.Record, el teltonika.Element) []byte {
	if !el.Numeric() {
		return r.Bytes(el)
	}
	raw := make([]byte, el.Size)
	for i := range raw {
		raw[len(raw)-1-i] = byte(el.Uint() >> (8 * i))
	}
	return raw
}

func checkNoErrorCode(t *testing.T, d *meaning.Definition, raw []byte, v meaning.Value) {
	t.Helper()
	if len(raw) == 0 || len(raw) > 8 || d.Width == meaning.WidthX {
		return
	}
	number := int64(0)
	for _, b := range raw {
		number = number<<8 | int64(b)
	}
	if shift := 64 - 8*len(raw); d.Signed {
		number = number << shift >> shift
	}
	for _, i := range d.Invalid {
		if i.Number == number && !i.Legacy && v.Fault == "" {
			t.Errorf("%s: %d is %s, not %s", d.Name, number, i.Reason, v.Text())
		}
	}
}

// TestTraffic: nearly all elements of real traffic have a meaning, though nothing is known of the devices.
func TestTraffic(t *testing.T) {
	elements, named, records := 0, 0, trafficRecords(t)
	for i := range records {
		all, some := read(t, &records[i])
		elements, named = elements+all, named+some
	}
	t.Logf("%d records, %d elements, %.2f %% named", len(records), elements, 100*float64(named)/float64(elements))
	if len(records) != 15871 || elements != 164252 || named*100 < elements*97 {
		t.Errorf("%d records, %d of %d elements", len(records), named, elements)
	}
}

func TestPackets(t *testing.T) {
	elements, named, records := 0, 0, packetRecords(t)
	for i := range records {
		all, some := read(t, &records[i])
		elements, named = elements+all, named+some
	}
	t.Logf("%d records, %d elements, %.2f %% named", len(records), elements, 100*float64(named)/float64(elements))
	if len(records) < 1500 || named*4 < elements*3 {
		t.Errorf("%d records, %d of %d elements", len(records), named, elements)
	}
}

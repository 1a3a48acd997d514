package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// meaningOrigin is the origin of what a device sends of which nothing is known.
func meaningOrigin(codec teltonika.Codec) Origin {
	o := origin(codec)
	o.Meaning = meaning.NewDevice(meaning.Embedded(), o.DeviceID)
	return o
}

// TestSignalsOfVectors compares all packets, each as one of a device of which nothing is known.
func TestSignalsOfVectors(t *testing.T) {
	var data teltonika.AVLData
	for _, v := range avlVectors(t) {
		if data.Decode(v.body) == nil {
			checkFrame(t, &Encoder{Raw: true}, meaningOrigin(data.Codec), data.Records)
		}
	}
}

// TestSignalsOfTraffic takes every eighth frame, because the reference is slow. Package meaning reads them all.
func TestSignalsOfTraffic(t *testing.T) {
	var data teltonika.AVLData
	var encoder Encoder
	for i, frame := range traffic(t) {
		if i%8 > 0 {
			continue
		}
		if err := data.Decode(frame.Body()); err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
		checkFrame(t, &encoder, meaningOrigin(data.Codec), data.Records)
	}
}

// TestSignalsOfEveryMeaning has records of elements that the dictionary knows, with values of all sizes, error codes
// among them, of devices that are more and more known.
func TestSignalsOfEveryMeaning(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var known []*meaning.Definition
	for d := range meaning.Embedded().Definitions() {
		known = append(known, d)
	}
	for range 300 {
		o := meaningOrigin(teltonika.Codec8E)
		family := known[random.IntN(len(known))].Families[0]
		var records []teltonika.Record
		for range 3 { // 60 elements: all of them are kept as evidence
			r := teltonika.Record{Timestamp: 1560161086000}
			for len(r.Elements) < 20 {
				d := known[random.IntN(len(known))]
				if d.Families[0] == family || random.IntN(50) == 0 {
					addElement(&r, d, random)
				}
			}
			records = append(records, r)
		}
		checkFrame(t, &Encoder{}, o, records)
	}
}

func addElement(r *teltonika.Record, d *meaning.Definition, random *rand.Rand) {
	if d.Width == meaning.WidthX {
		value := make([]byte, random.IntN(24))
		for i := range value {
			value[i] = byte(random.Uint32() >> (random.IntN(2) * 30))
		}
		r.AddBytes(d.ID, teltonika.GroupX, value)
		return
	}
	number := random.Uint64() >> random.IntN(64)
	if len(d.Invalid) > 0 && random.IntN(2) == 0 {
		number = uint64(d.Invalid[random.IntN(len(d.Invalid))].Number)
	}
	r.AddNumber(d.ID, teltonika.Group(d.Width), number)
}

// TestSignalsOnlyAdd: everything else is the same to the byte, with and without what the elements mean.
func TestSignalsOnlyAdd(t *testing.T) {
	var data teltonika.AVLData
	more := 0
	for _, frame := range traffic(t)[:1000] {
		if err := data.Decode(frame.Body()); err != nil {
			t.Fatal(err)
		}
		with := encode(t, &Encoder{}, meaningOrigin(data.Codec), &data.Records[0])
		without := encode(t, &Encoder{}, origin(data.Codec), &data.Records[0])
		if !bytes.HasPrefix(with.Payload, without.Payload[:len(without.Payload)-1]) {
			t.Fatalf("differ in what both have:\n%s\n%s", with.Payload, without.Payload)
		}
		if len(with.Payload) > len(without.Payload) {
			more++
		}
	}
	if more < 900 {
		t.Errorf("only %d documents have more", more)
	}
}

// TestSignalsWrittenOut is what a document has behind its id, spelled out.
func TestSignalsWrittenOut(t *testing.T) {
	var r teltonika.Record
	r.Timestamp = uint64(received.UnixMilli())
	r.AddNumber(66, teltonika.Group2, 12044)
	r.AddNumber(239, teltonika.Group1, 1)
	r.AddNumber(72, teltonika.Group4, 279)
	r.AddNumber(73, teltonika.Group4, 3000)
	r.AddNumber(17, teltonika.Group2, 0xFC18)
	r.AddNumber(17, teltonika.Group2, 0xFC19) // sent twice: the last one counts
	r.AddNumber(64999, teltonika.Group1, 1)   // nobody knows it
	mapped := meaningOrigin(teltonika.Codec8E)
	mapped.Meaning.Identify(meaning.Identity{Model: "FMC130", By: meaning.ByGetver})
	const want = `"signals":{"external.powersource.voltage":12.044,"engine.ignition.status":true,` +
		`"onewire.temperature.1":27.9,"x.acceleration":-0.999},"faults":{"onewire.temperature.2":"not_connected"},` +
		`"device":{"family":"fmb","model":"FMC130","by":"getver"},"dict":"2026.11"}`
	doc := encode(t, &Encoder{}, mapped, &r)
	if _, got, _ := strings.Cut(string(doc.Payload), `00000000000-`); !strings.HasSuffix(string(doc.Payload), want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestNothingToSay: a record of which nothing has a meaning looks as if nobody had asked.
func TestNothingToSay(t *testing.T) {
	r := teltonika.Record{Timestamp: 1560161086000}
	r.AddNumber(64999, teltonika.Group1, 1)
	r.AddBytes(66, teltonika.Group16, make([]byte, 16))
	with := encode(t, &Encoder{}, meaningOrigin(teltonika.Codec8), &r)
	without := encode(t, &Encoder{}, origin(teltonika.Codec8), &r)
	if string(with.Payload) != string(without.Payload) {
		t.Errorf("got  %s\nwant %s", with.Payload, without.Payload)
	}
}

// TestSignalsAreBounded: a long value does not make its record many times as long.
func TestSignalsAreBounded(t *testing.T) {
	for _, size := range []int{meaning.MaxBytes, meaning.MaxBytes + 1, 60_000} {
		r := teltonika.Record{Timestamp: 1560161086000}
		r.AddBytes(256, teltonika.GroupX, bytes.Repeat([]byte{1}, size)) // VIN: text
		doc := encode(t, &Encoder{}, meaningOrigin(teltonika.Codec8E), &r)
		if has := strings.Contains(string(doc.Payload), `"vehicle.vin"`); has != (size <= meaning.MaxBytes) {
			t.Errorf("%d bytes: %v", size, has)
		}
		if len(doc.Payload) > 2*size+8000 {
			t.Errorf("%d bytes make %d", size, len(doc.Payload))
		}
	}
}

func TestNoAllocationsWithSignals(t *testing.T) {
	o := meaningOrigin(teltonika.Codec8E)
	records := []teltonika.Record{recordOfEverything(false), modelRecord(t), recordOfEverything(true)}
	var encoder Encoder
	var dst []byte
	var stored []engine.Record
	frame := func() {
		encoder.Begin(o)
		dst, stored = dst[:0], stored[:0]
		for i := range records {
			dst, stored, _ = encoder.Append(dst, stored, &records[i])
		}
	}
	frame()
	if allocations := testing.AllocsPerRun(100, frame); allocations != 0 {
		t.Errorf("%v allocations a frame", allocations)
	}
}

// BenchmarkSignals compares the path of a frame with what the elements mean to the one without. As in
// BenchmarkDocument both take turns, and the figures are medians over the turns. Frames of the same elements are taken
// for those of one device, of which no more is known than what they say.
func BenchmarkSignals(b *testing.B) {
	for _, set := range benchSets(b) {
		b.Run(set.name, func(b *testing.B) {
			var plain, with path
			devices := make([]*meaning.Device, len(set.frames))
			same := map[string]*meaning.Device{}
			next := 0
			read := func(f teltonika.Frame) {
				with.meaning = devices[next%len(devices)]
				next++
				with.frame(b, f)
			}
			var plainBytes, withBytes int
			for i, f := range set.frames {
				plain.frame(b, f)
				elements := elementsOf(plain.data.Records)
				if same[elements] == nil {
					same[elements] = meaning.NewDevice(meaning.Embedded(), origin(0).DeviceID)
				}
				devices[i], next = same[elements], i
				read(f)
				next = i
				read(f) // as of what its last record has taught
				plainBytes, withBytes = plainBytes+len(plain.buffer), withBytes+len(with.buffer)
			}
			var ratio, ours []float64
			next = 0
			for b.Loop() {
				for frames := range slices.Chunk(set.frames, 256) {
					records := countRecords(frames)
					plainNow := timed(frames, records, func(f teltonika.Frame) { plain.frame(b, f) })
					withNow := timed(frames, records, read)
					ratio, ours = append(ratio, withNow/plainNow), append(ours, withNow)
				}
			}
			b.ReportMetric(median(ours), "ours-ns/record")
			b.ReportMetric(median(ratio), "with/without")
			b.ReportMetric(float64(withBytes)/float64(plainBytes), "bytes-with/without")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func elementsOf(records []teltonika.Record) (s string) {
	for i := range records {
		for _, el := range records[i].Elements {
			s += fmt.Sprint(el.ID, el.Group, " ")
		}
	}
	return s
}

func ExampleEncoder_meaning() {
	r := teltonika.Record{Timestamp: 1560161086000}
	r.AddNumber(21, teltonika.Group1, 3)
	var encoder Encoder
	encoder.Begin(Origin{
		DeviceID: "356307042441013", Codec: teltonika.Codec8E, Received: received,
		Meaning: meaning.NewDevice(meaning.Embedded(), "356307042441013"),
	})
	_, records, _ := encoder.Append(nil, nil, &r)
	_, members, _ := strings.Cut(string(records[0].Payload), `"signals"`)
	fmt.Println(members)
	// Output: :{"gsm.signal.level":3},"device":{"family":"fmb","by":"elements"},"dict":"2026.11"}
}

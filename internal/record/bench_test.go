package record

import (
	"encoding/json"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// benchSet is frames and the number of records in them.
type benchSet struct {
	name    string
	frames  []teltonika.Frame
	records int
}

func benchSets(t testing.TB) []benchSet {
	return []benchSet{bigFrames(t), {"traffic", traffic(t), trafficRecords}}
}

// bigFrames are 32 Codec 8 frames of 1.2 KB, each of nine records of 28 elements: a real record whose time, place
// and values vary a little.
func bigFrames(t testing.TB) benchSet {
	t.Helper()
	const frames, records = 32, 9
	random := rand.New(rand.NewPCG(1, 2))
	set := benchSet{name: "28elements", records: frames * records}
	for range frames {
		model := modelRecord(t)
		data := teltonika.AVLData{Codec: teltonika.Codec8}
		for i := range records {
			r := model
			r.Timestamp += uint64(i) * 10_000
			r.Latitude += random.Int32N(1_000_000)
			r.Longitude += random.Int32N(1_000_000)
			r.Elements = nil
			for _, el := range model.Elements {
				r.AddNumber(el.ID, el.Group, el.Uint()+random.Uint64N(4))
			}
			data.Records = append(data.Records, r)
		}
		frame, err := data.AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		set.frames = append(set.frames, frame)
	}
	return set
}

func modelRecord(t testing.TB) teltonika.Record {
	t.Helper()
	vectors := avlVectors(t)
	i := slices.IndexFunc(vectors, func(v vector) bool { return v.Name == "dameg-tcp-avl-c8-011" })
	var data teltonika.AVLData
	if err := data.Decode(vectors[i].body); err != nil {
		t.Fatal(err)
	}
	if n := len(data.Records[0].Elements); n != 28 {
		t.Fatalf("%d elements, expected 28", n)
	}
	return data.Records[0]
}

// path is the way of a frame through this package as the server takes it.
type path struct {
	meaning *meaning.Device // nil: without what the elements mean
	data    teltonika.AVLData
	encoder Encoder
	buffer  []byte
	records []engine.Record
}

func (p *path) decode(b testing.TB, f teltonika.Frame) Origin {
	if err := f.Verify(); err != nil {
		b.Fatal(err)
	}
	if err := p.data.Decode(f.Body()); err != nil {
		b.Fatal(err)
	}
	o := origin(p.data.Codec)
	o.Meaning = p.meaning
	return o
}

func (p *path) frame(b testing.TB, f teltonika.Frame) {
	p.encoder.Begin(p.decode(b, f))
	p.buffer, p.records = p.buffer[:0], p.records[:0]
	for i := range p.data.Records {
		var err error
		if p.buffer, p.records, err = p.encoder.Append(p.buffer, p.records, &p.data.Records[i]); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLimit: the benchmarks compare like with like.
func TestLimit(t *testing.T) {
	for _, set := range benchSets(t) {
		var p path
		l := newLimit(origin(0))
		for i, f := range set.frames {
			p.frame(t, f)
			if size := l.frame(f); string(l.buffer[:size]) != string(p.buffer) {
				t.Fatalf("%s, frame %d:\nlimit   %s\nencoder %s", set.name, i+1, l.buffer[:size], p.buffer)
			}
		}
	}
}

// BenchmarkDocument measures the path of a frame: verify the CRC, decode, one document for each record. Three ways
// take turns every few hundred records, so that a noisy machine is noisy for all of them: "ours"; "limit", the
// least that the path can cost (see there); and encoding/json in the place of our encoder, at every eighth turn.
// The figures are medians over the turns.
func BenchmarkDocument(b *testing.B) {
	for _, set := range benchSets(b) {
		b.Run(set.name, func(b *testing.B) {
			var p path
			l := newLimit(origin(0))
			var limit, ours, oursToLimit, theirsToOurs []float64
			turns := 0
			for b.Loop() {
				for frames := range slices.Chunk(set.frames, 256) {
					records := countRecords(frames)
					limitNow := timed(frames, records, func(f teltonika.Frame) { l.frame(f) })
					oursNow := timed(frames, records, func(f teltonika.Frame) { p.frame(b, f) })
					limit, ours = append(limit, limitNow), append(ours, oursNow)
					oursToLimit = append(oursToLimit, oursNow/limitNow)
					if turns++; turns%8 == 1 {
						theirs := timed(frames, records, func(f teltonika.Frame) { p.viaEncodingJSON(b, f) })
						theirsToOurs = append(theirsToOurs, theirs/oursNow)
						runtime.GC() // its garbage is not collected in the others' turns
					}
				}
			}
			b.ReportMetric(median(limit), "limit-ns/record")
			b.ReportMetric(median(ours), "ours-ns/record")
			b.ReportMetric(median(oursToLimit), "ours/limit")
			b.ReportMetric(median(theirsToOurs), "encoding-json/ours")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func countRecords(frames []teltonika.Frame) (n int) {
	for _, f := range frames {
		n += f.Count()
	}
	return n
}

// timed is how many ns a record takes.
func timed(frames []teltonika.Frame, records int, way func(teltonika.Frame)) float64 {
	start := time.Now()
	for _, f := range frames {
		way(f)
	}
	return float64(time.Since(start)) / float64(records)
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkOurs is our way alone, for profiles and allocations.
func BenchmarkOurs(b *testing.B) {
	for _, set := range benchSets(b) {
		b.Run(set.name, func(b *testing.B) {
			var p path
			for _, f := range set.frames {
				p.frame(b, f) // warm
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range set.frames {
					p.frame(b, f)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*set.records), "ns/record")
		})
	}
}

// structDocument is what a document is to encoding/json.
type structDocument struct {
	DeviceID   string         `json:"device_id"`
	Timestamp  string         `json:"timestamp"`
	Latitude   float64        `json:"latitude"`
	Longitude  float64        `json:"longitude"`
	Altitude   int16          `json:"altitude"`
	Angle      uint16         `json:"angle"`
	Speed      uint16         `json:"speed"`
	Satellites uint8          `json:"satellites"`
	Priority   uint8          `json:"priority"`
	Attributes map[string]any `json:"attributes"`
	EventID    uint16         `json:"event_id"`
	Fix        Fix            `json:"fix"`
	Codec      string         `json:"codec"`
	ReceivedAt string         `json:"received_at"`
	ID         string         `json:"id"`
}

func (p *path) viaEncodingJSON(b *testing.B, f teltonika.Frame) {
	o := p.decode(b, f)
	receivedAt := referenceTime(o.Received.UnixMilli())
	for i := range p.data.Records {
		r := &p.data.Records[i]
		attributes := make(map[string]any, len(r.Elements))
		for _, el := range r.Elements {
			attributes[strconv.Itoa(int(el.ID))] = jsonValue(r, el)
		}
		document, err := json.Marshal(structDocument{
			DeviceID: o.DeviceID, Timestamp: referenceTime(int64(r.Timestamp)),
			Latitude: float64(r.Latitude) / 1e7, Longitude: float64(r.Longitude) / 1e7,
			Altitude: r.Altitude, Angle: r.Angle, Speed: r.Speed, Satellites: r.Satellites, Priority: r.Priority,
			Attributes: attributes, EventID: r.EventID, Fix: FixOf(r), Codec: o.Codec.String(),
			ReceivedAt: receivedAt, ID: referenceID(o.DeviceID, r),
		})
		if err != nil || len(document) == 0 {
			b.Fatal(err)
		}
	}
}

func jsonValue(r *teltonika.Record, el teltonika.Element) any {
	switch {
	case el.Group < teltonika.Group8:
		return el.Uint()
	case el.Group == teltonika.Group8:
		return map[string]string{"__bigint": strconv.FormatUint(el.Uint(), 10)}
	}
	return map[string][]byte{"__buffer_b64": r.Bytes(el)}
}

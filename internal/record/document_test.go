package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestVectors(t *testing.T) {
	var data teltonika.AVLData
	seen := make(map[teltonika.Codec]bool)
	records, refused := 0, 0
	for _, v := range avlVectors(t) {
		if err := data.Decode(v.body); err != nil {
			if errors.Is(err, teltonika.ErrCount) {
				continue // well-formed records in a packet that is not
			}
			t.Fatalf("%s: %v", v.Name, err)
		}
		seen[data.Codec] = true
		for _, raw := range []bool{false, true} {
			records += checkFrame(t, &Encoder{Raw: raw}, origin(data.Codec), data.Records)
		}
		refused += 2 * len(data.Records)
	}
	if refused -= records; records != 2*vectorDocuments || refused != 2 {
		t.Errorf("%d documents and %d refused, expected twice %d and one", records, refused, vectorDocuments)
	}
	for _, codec := range []teltonika.Codec{teltonika.Codec7, teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16} {
		if !seen[codec] {
			t.Errorf("no vector of codec %v", codec)
		}
	}
}

func TestTraffic(t *testing.T) {
	var data teltonika.AVLData
	var encoder Encoder // one for all, as in the server
	records := 0
	for i, frame := range traffic(t) {
		if err := data.Decode(frame.Body()); err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
		o := origin(data.Codec)
		o.Received = o.Received.Add(time.Duration(i) * 11 * time.Second)
		records += checkFrame(t, &encoder, o, data.Records)
	}
	if records != trafficRecords {
		t.Errorf("%d records, expected %d", records, trafficRecords)
	}
}

// checkFrame encodes the records into one buffer that has to grow, checks all documents after that and returns
// their number. Records of impossible times have none.
func checkFrame(t *testing.T, encoder *Encoder, o Origin, records []teltonika.Record) int {
	t.Helper()
	encoder.Begin(o)
	var dst, payloads []byte
	docs := make(map[int]engine.Record)
	for i := range records {
		next, doc, err := appendOne(encoder, dst, &records[i])
		switch {
		case err == nil:
			dst, docs[i] = next, doc
		case records[i].Timestamp <= MaxTimestamp || !errors.Is(err, ErrTimestamp):
			t.Fatal(err)
		}
	}
	for i := range records {
		if doc, ok := docs[i]; ok {
			checkDocument(t, o, encoder.Raw, &records[i], doc)
			payloads = append(payloads, doc.Payload...)
		}
	}
	if !bytes.Equal(dst, payloads) {
		t.Fatal("the buffer is not the documents one after the other")
	}
	return len(docs)
}

// appendOne appends one record to none.
func appendOne(encoder *Encoder, dst []byte, r *teltonika.Record) ([]byte, engine.Record, error) {
	dst, records, err := encoder.Append(dst, nil, r)
	if err != nil {
		return dst, engine.Record{}, err
	}
	return dst, records[0], nil
}

// encode is the document of one record.
func encode(t testing.TB, encoder *Encoder, o Origin, r *teltonika.Record) engine.Record {
	t.Helper()
	encoder.Begin(o)
	_, doc, err := appendOne(encoder, nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// valueOf is the JSON text of one key of a document.
func valueOf(t *testing.T, doc engine.Record, key string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc.Payload, &members); err != nil {
		t.Fatalf("%v: %s", err, doc.Payload)
	}
	value, ok := members[key]
	if !ok {
		t.Fatalf("no key %s in %s", key, doc.Payload)
	}
	return string(value)
}

// TestWholeDocument is the published format written out once.
func TestWholeDocument(t *testing.T) {
	r := teltonika.Record{
		Timestamp: 1560161086000, Latitude: 546674250, Longitude: 252560283, Altitude: 172, Angle: 248,
		Satellites: 11, Priority: 1, EventID: 66, Raw: []byte("Hello, tracker"),
	}
	r.AddNumber(21, teltonika.Group1, 3)
	r.AddNumber(66, teltonika.Group2, 24079)
	r.AddNumber(78, teltonika.Group8, 0)
	r.AddBytes(385, teltonika.GroupX, []byte{0x11})
	doc := encode(t, &Encoder{Raw: true}, origin(teltonika.Codec8E), &r)
	want := `{"device_id":"356307042441013","timestamp":"2019-06-10T10:04:46.000Z","latitude":54.667425,` +
		`"longitude":25.2560283,"altitude":172,"angle":248,"speed":0,"satellites":11,"priority":1,` +
		`"attributes":{"21":3,"66":24079,"78":{"__bigint":"0"},"385":{"__buffer_b64":"EQ=="}},` +
		`"event_id":66,"fix":"ok","codec":"8E","received_at":"2026-11-22T11:00:00.123Z",` +
		`"id":"356307042441013-1560161086000-7299940b1516c927","raw":"SGVsbG8sIHRyYWNrZXI="}`
	if string(doc.Payload) != want {
		t.Errorf("\n got %s\nwant %s", doc.Payload, want)
	}
	checkDocument(t, origin(teltonika.Codec8E), true, &r, doc)
}

func TestCoordinates(t *testing.T) {
	for n, want := range map[int32]string{
		0: "0", 1: "0.0000001", -1: "-0.0000001", 10_000_000: "1", -10_000_000: "-1", 5_000_000: "0.5",
		-9_999_999: "-0.9999999", 546_674_250: "54.667425", 252_560_283: "25.2560283", 900_000_000: "90",
		-1_800_000_000: "-180", 1_000_000_010: "100.000001", 100: "0.00001",
		math.MaxInt32: "214.7483647", math.MinInt32: "-214.7483648",
	} {
		r := teltonika.Record{Latitude: n}
		if got := valueOf(t, encode(t, &Encoder{}, origin(teltonika.Codec8), &r), "latitude"); got != want {
			t.Errorf("latitude of %d is %s, expected %s", n, got, want)
		}
		r = teltonika.Record{Longitude: n}
		if got := valueOf(t, encode(t, &Encoder{}, origin(teltonika.Codec8), &r), "longitude"); got != want {
			t.Errorf("longitude of %d is %s, expected %s", n, got, want)
		}
	}
}

func TestNumbersAsSent(t *testing.T) {
	for _, r := range []teltonika.Record{
		{},
		{Altitude: -1, Priority: 3},
		{Altitude: math.MinInt16, Angle: 360, Speed: 255, Priority: 255, Satellites: 255},
		{Altitude: math.MaxInt16, Angle: math.MaxUint16, Speed: math.MaxUint16, EventID: math.MaxUint16},
		{Altitude: 9999, Angle: 10000, Speed: 999, EventID: 1000, Satellites: 100, Priority: 99},
	} {
		o := origin(teltonika.Codec8)
		checkDocument(t, o, false, &r, encode(t, &Encoder{}, o, &r))
	}
	r := teltonika.Record{Altitude: -420, Priority: 7}
	doc := encode(t, &Encoder{}, origin(teltonika.Codec8), &r)
	if altitude, priority := valueOf(t, doc, "altitude"), valueOf(t, doc, "priority"); altitude != "-420" ||
		priority != "7" {
		t.Errorf("altitude %s, priority %s, expected -420 and 7", altitude, priority)
	}
}

func TestTimestamps(t *testing.T) {
	for ms, want := range map[uint64]string{
		0:             `"1970-01-01T00:00:00.000Z"`,
		1:             `"1970-01-01T00:00:00.001Z"`,
		1072915200000: `"2004-01-01T00:00:00.000Z"`,
		1078012799999: `"2004-02-28T23:59:59.999Z"`,
		1078012800000: `"2004-02-29T00:00:00.000Z"`,
		MaxTimestamp:  `"9999-12-31T23:59:59.999Z"`,
	} {
		r := teltonika.Record{Timestamp: ms}
		o := origin(teltonika.Codec8)
		doc := encode(t, &Encoder{}, o, &r)
		if got := valueOf(t, doc, "timestamp"); got != want {
			t.Errorf("timestamp of %d is %s, expected %s", ms, got, want)
		}
		checkDocument(t, o, false, &r, doc)
	}
}

func TestTimestampBeyondYear9999(t *testing.T) {
	var encoder Encoder
	encoder.Begin(origin(teltonika.Codec8))
	for _, ms := range []uint64{MaxTimestamp + 1, 1 << 63, math.MaxUint64} {
		whole := []byte("before|behind the length")
		dst := whole[:len("before|")]
		got, doc, err := appendOne(&encoder, dst, &teltonika.Record{Timestamp: ms})
		if !errors.Is(err, ErrTimestamp) {
			t.Errorf("%d: %v, expected ErrTimestamp", ms, err)
		}
		if &got[0] != &dst[0] || len(got) != len(dst) || string(whole) != "before|behind the length" {
			t.Errorf("%d: dst changed", ms)
		}
		if doc.Hash != 0 || doc.Time != nil || doc.ID != nil || doc.Payload != nil {
			t.Errorf("%d: a document in spite of the error", ms)
		}
	}
	r := teltonika.Record{Timestamp: MaxTimestamp}
	if _, _, err := appendOne(&encoder, nil, &r); err != nil {
		t.Errorf("after the error: %v", err)
	}
}

// TestReceivedOutOfRange: a server's clock that is wrong must not end the process or write a fifth digit.
func TestReceivedOutOfRange(t *testing.T) {
	for _, c := range []struct {
		received time.Time
		want     string
	}{
		{time.Time{}, `"1970-01-01T00:00:00.000Z"`},
		{time.UnixMilli(-1), `"1970-01-01T00:00:00.000Z"`},
		{time.UnixMilli(MaxTimestamp + 1), `"9999-12-31T23:59:59.999Z"`},
	} {
		o := Origin{DeviceID: "1", Codec: teltonika.Codec8, Received: c.received}
		doc := encode(t, &Encoder{}, o, &teltonika.Record{})
		if got := valueOf(t, doc, "received_at"); got != c.want {
			t.Errorf("received_at of %v is %s, expected %s", c.received, got, c.want)
		}
	}
}

func TestIDOfResentRecord(t *testing.T) {
	raw := []byte("the bytes of a record as sent, more than one block of the hash, which is 32 bytes")
	r := teltonika.Record{Timestamp: 1560161086000, Raw: raw}
	first := encode(t, &Encoder{}, origin(teltonika.Codec8), &r)
	later := origin(teltonika.Codec8)
	later.Received = later.Received.Add(time.Hour)
	again := encode(t, &Encoder{Raw: true}, later, &teltonika.Record{Timestamp: r.Timestamp, Raw: slices.Clone(raw)})
	if !bytes.Equal(first.ID, again.ID) || first.Hash != again.Hash {
		t.Errorf("resent record has id %s, the first %s", again.ID, first.ID)
	}
	if bytes.Equal(first.Payload, again.Payload) {
		t.Error("received_at of the resent record is that of the first")
	}
	for i := range raw {
		changed := slices.Clone(raw)
		changed[i] ^= 1
		other := encode(t, &Encoder{}, origin(teltonika.Codec8), &teltonika.Record{Timestamp: r.Timestamp, Raw: changed})
		if bytes.Equal(first.ID, other.ID) {
			t.Fatalf("byte %d changed, the id did not", i)
		}
	}
}

// TestHashOfNothing pins the hash function by its published value for no bytes.
func TestHashOfNothing(t *testing.T) {
	doc := encode(t, &Encoder{}, origin(teltonika.Codec8), &teltonika.Record{})
	if want := "356307042441013-0-ef46db3751d8e999"; string(doc.ID) != want {
		t.Errorf("id of no bytes is %s, expected %s", doc.ID, want)
	}
}

func TestRawOnlyOnRequest(t *testing.T) {
	r := teltonika.Record{Raw: []byte{0xFB, 0xFF, 0xFE}}
	without := encode(t, &Encoder{}, origin(teltonika.Codec8), &r)
	if bytes.Contains(without.Payload, []byte(`"raw"`)) {
		t.Errorf("raw without Raw: %s", without.Payload)
	}
	with := encode(t, &Encoder{Raw: true}, origin(teltonika.Codec8), &r)
	if !bytes.HasSuffix(with.Payload, []byte(`,"raw":"+//+"}`)) {
		t.Errorf("raw is not the last key, or not standard base64: %s", with.Payload)
	}
}

func TestDeviceIDs(t *testing.T) {
	for _, id := range []string{"1", "abcXYZ09", strings.Repeat("9", 64)} {
		o := Origin{DeviceID: id, Codec: teltonika.Codec16, Received: received}
		r := teltonika.Record{Timestamp: 1560161086000, Raw: []byte(id)}
		checkDocument(t, o, false, &r, encode(t, &Encoder{}, o, &r))
	}
}

// TestBeginAgain: nothing of one frame is left in the next.
func TestBeginAgain(t *testing.T) {
	var encoder Encoder
	for _, o := range []Origin{
		{DeviceID: "356307042441013", Codec: teltonika.Codec16, Received: received},
		{DeviceID: "1", Codec: teltonika.Codec8, Received: received.Add(48 * time.Hour)},
		{DeviceID: "356307042441014", Codec: teltonika.Codec8E, Received: received.Add(-400 * 24 * time.Hour)},
	} {
		r := teltonika.Record{Timestamp: 1560161086000, Generation: 5}
		checkDocument(t, o, false, &r, encode(t, &encoder, o, &r))
	}
}

func TestFix(t *testing.T) {
	const lat90, lon180 = 900_000_000, 1_800_000_000
	for _, c := range []struct {
		latitude, longitude int32
		satellites          uint8
		want                Fix
	}{
		{0, 0, 0, FixNone},
		{0, 0, 4, FixOK}, // in the Gulf of Guinea
		{1, 0, 0, FixStale},
		{0, -1, 0, FixStale},
		{546674250, 252560283, 11, FixOK},
		{lat90, lon180, 3, FixOK},
		{-lat90, -lon180, 3, FixOK},
		{lat90 + 1, 0, 3, FixNone},
		{-lat90 - 1, 0, 3, FixNone},
		{0, lon180 + 1, 3, FixNone},
		{0, -lon180 - 1, 3, FixNone},
		{lat90 + 1, 0, 0, FixNone},
		{math.MinInt32, math.MaxInt32, 255, FixNone},
	} {
		r := teltonika.Record{Latitude: c.latitude, Longitude: c.longitude, Satellites: c.satellites}
		if got := FixOf(&r); got != c.want {
			t.Errorf("%d, %d with %d satellites: %s, expected %s", c.latitude, c.longitude, c.satellites, got, c.want)
		}
		if got := valueOf(t, encode(t, &Encoder{}, origin(teltonika.Codec8), &r), "fix"); got != `"`+string(c.want)+`"` {
			t.Errorf("fix is %s, expected %s", got, c.want)
		}
	}
}

// Codec 7 may leave out the number of satellites: its devices do so with a position that is good.
func TestFixOfCodec7(t *testing.T) {
	const noSatellites, noPlace = teltonika.FieldSatellites, teltonika.FieldCoordinates
	for _, c := range []struct {
		latitude   int32
		satellites uint8
		lacks      teltonika.Fields
		want       Fix
	}{
		{546674250, 0, noSatellites, FixOK},
		{0, 0, noSatellites, FixNone},
		{910000000, 0, noSatellites, FixNone},
		{546674250, 0, 0, FixStale},
		{546674250, 5, 0, FixOK},
		{0, 5, noPlace, FixNone},
		{0, 0, noPlace | noSatellites, FixNone},
	} {
		r := teltonika.Record{Latitude: c.latitude, Satellites: c.satellites, Lacks: c.lacks}
		if got := FixOf(&r); got != c.want {
			t.Errorf("%d with %d satellites, lacks %05b: %s, expected %s", c.latitude, c.satellites, c.lacks, got, c.want)
		}
	}
}

// A coordinate that is no number must neither be published nor make the document no JSON.
func TestCodec7CoordinateThatIsNoNumber(t *testing.T) {
	body := unhex(t, "070123c3460001017fc0000041ca000001") // NaN and 25.25
	var data teltonika.AVLData
	if err := data.Decode(body); err != nil {
		t.Fatal(err)
	}
	o := origin(teltonika.Codec7)
	var encoder Encoder
	encoder.Begin(o)
	_, doc, err := appendOne(&encoder, nil, &data.Records[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"device_id":"356307042441013","timestamp":"2026-01-05T10:40:00.000Z","priority":0,"attributes":{},` +
		`"fix":"none","codec":"7",`
	if !strings.HasPrefix(string(doc.Payload), want) || !json.Valid(doc.Payload) {
		t.Errorf("got %s\nwant %s", doc.Payload, want)
	}
}

package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// reference is the document of a record, written a second time: plainly, from the published format alone and
// with the standard library's formatting. What the encoder writes must equal it to the byte.
func reference(o Origin, raw bool, r *teltonika.Record) string {
	values := map[string]any{
		"device_id":   o.DeviceID,
		"timestamp":   referenceTime(int64(r.Timestamp)),
		"latitude":    referenceDegrees(r.Latitude),
		"longitude":   referenceDegrees(r.Longitude),
		"altitude":    r.Altitude,
		"angle":       r.Angle,
		"speed":       r.Speed,
		"satellites":  r.Satellites,
		"priority":    r.Priority,
		"attributes":  json.RawMessage(referenceAttributes(o.Codec, r)),
		"event_id":    r.EventID,
		"fix":         referenceFix(r),
		"codec":       referenceCodec[o.Codec],
		"received_at": referenceTime(o.Received.UnixMilli()),
		"id":          referenceID(o.DeviceID, r),
		"raw":         base64.StdEncoding.EncodeToString(r.Raw),
	}
	if clock := referenceClock(o, r); clock != "" {
		values["clock"] = clock
	}
	maps.Copy(values, referenceMeaning(o, r))
	var document []string
	for _, key := range referenceKeys(o.Codec, raw, r) {
		if values[key] != nil {
			document = append(document, member(key, values[key]))
		}
	}
	return "{" + strings.Join(document, ",") + "}"
}

// documentKeys are the keys of a document in their order.
var documentKeys = []string{
	"device_id", "timestamp", "latitude", "longitude", "altitude", "angle", "speed", "satellites", "priority",
	"attributes", "event_id", "fix", "codec", "received_at", "id", "clock", "signals", "faults",
	"device", "dict", "raw",
}

// saysSomething are the keys that are there only if they have something to say.
var saysSomething = []string{"clock", "signals", "faults", "device", "dict"}

// optional are the keys of what a record of Codec 7 may lack.
var optional = map[string]teltonika.Fields{
	"latitude": teltonika.FieldCoordinates, "longitude": teltonika.FieldCoordinates, "altitude": teltonika.FieldAltitude,
	"angle": teltonika.FieldAngle, "speed": teltonika.FieldSpeed, "satellites": teltonika.FieldSatellites,
}

// referenceKeys are the keys that a record's document has.
func referenceKeys(codec teltonika.Codec, raw bool, r *teltonika.Record) (keys []string) {
	for _, key := range documentKeys {
		if key == "raw" && !raw || codec == teltonika.Codec7 && (key == "event_id" || r.Lacks&optional[key] != 0) {
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

var referenceCodec = map[teltonika.Codec]string{
	teltonika.Codec7: "7", teltonika.Codec8: "8", teltonika.Codec8E: "8E", teltonika.Codec16: "16",
}

func member(key string, value any) string {
	if ready, is := value.(json.RawMessage); is {
		return strconv.Quote(key) + ":" + string(ready)
	}
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return strconv.Quote(key) + ":" + string(b)
}

func referenceClock(o Origin, r *teltonika.Record) string {
	sent := time.UnixMilli(int64(r.Timestamp))
	switch {
	case sent.UTC().Year() < 2010:
		return "unset"
	case sent.Sub(o.Received.Truncate(time.Millisecond)) > 10*time.Minute:
		return "future"
	}
	return ""
}

func referenceTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

func referenceDegrees(n int32) json.RawMessage {
	text := big.NewRat(int64(n), 10_000_000).FloatString(7)
	text = strings.TrimRight(text, "0")
	return json.RawMessage(strings.TrimSuffix(text, "."))
}

func referenceID(device string, r *teltonika.Record) string {
	hash := xxhash.New()
	hash.Write(r.Raw)
	return fmt.Sprintf("%s-%d-%016x", device, r.Timestamp, hash.Sum64())
}

func referenceFix(r *teltonika.Record) string {
	latitude, longitude := float64(r.Latitude)/1e7, float64(r.Longitude)/1e7
	if r.Lacks&teltonika.FieldCoordinates != 0 {
		return "none"
	}
	offGlobe := latitude < -90 || latitude > 90 || longitude < -180 || longitude > 180
	if offGlobe || r.Satellites == 0 && latitude == 0 && longitude == 0 {
		return "none"
	}
	if r.Satellites == 0 && r.Lacks&teltonika.FieldSatellites == 0 {
		return "stale"
	}
	return "ok"
}

func referenceAttributes(codec teltonika.Codec, r *teltonika.Record) string {
	var keys []string
	values := make(map[string]string)
	if codec == teltonika.Codec16 {
		keys = append(keys, "__generation_type")
		values["__generation_type"] = strconv.Itoa(int(r.Generation))
	}
	for _, network := range []struct {
		field teltonika.Fields
		key   string
		value uint32
	}{
		{teltonika.FieldCell, "__lac", uint32(r.LAC)}, {teltonika.FieldCell, "__cid", uint32(r.CID)},
		{teltonika.FieldSignal, "__signal", uint32(r.Signal)}, {teltonika.FieldOperator, "__operator", r.Operator},
	} {
		if codec == teltonika.Codec7 && r.Lacks&network.field == 0 {
			keys = append(keys, network.key)
			values[network.key] = strconv.FormatUint(uint64(network.value), 10)
		}
	}
	for _, el := range r.Elements {
		key := strconv.Itoa(int(el.ID))
		if _, repeated := values[key]; !repeated {
			keys = append(keys, key)
		}
		values[key] = referenceValue(r, el)
	}
	members := make([]string, len(keys))
	for i, key := range keys {
		members[i] = strconv.Quote(key) + ":" + values[key]
	}
	return "{" + strings.Join(members, ",") + "}"
}

func referenceValue(r *teltonika.Record, el teltonika.Element) string {
	switch el.Group {
	case teltonika.Group1, teltonika.Group2, teltonika.Group4:
		return strconv.FormatUint(el.Uint(), 10)
	case teltonika.Group8:
		return "{" + member("__bigint", strconv.FormatUint(el.Uint(), 10)) + "}"
	}
	return "{" + member("__buffer_b64", base64.StdEncoding.EncodeToString(r.Bytes(el))) + "}"
}

// checkDocument compares a document with the reference, and its parts with its payload.
func checkDocument(t *testing.T, o Origin, raw bool, r *teltonika.Record, doc engine.Record) {
	t.Helper()
	if want := reference(o, raw, r); string(doc.Payload) != want {
		t.Fatalf("document differs\n got %s\nwant %s", doc.Payload, want)
	}
	if want := referenceID(o.DeviceID, r); string(doc.ID) != want {
		t.Fatalf("ID is %s, expected %s", doc.ID, want)
	}
	if want := referenceTime(int64(r.Timestamp)); string(doc.Time) != want {
		t.Fatalf("Time is %s, expected %s", doc.Time, want)
	}
	if want := xxhash.Sum64(r.Raw); doc.Hash != want {
		t.Fatalf("Hash is %016x, expected %016x", doc.Hash, want)
	}
	checkKeys(t, referenceKeys(o.Codec, raw, r), doc.Payload)
}

// checkKeys reads a document with encoding/json and compares its keys and their order.
func checkKeys(t *testing.T, want []string, payload []byte) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(payload))
	var got []string
	if _, err := dec.Token(); err != nil {
		t.Fatalf("%v: %s", err, payload)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatalf("%v: %s", err, payload)
		}
		got = append(got, key.(string))
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatalf("%v: %s", err, payload)
		}
	}
	want = slices.DeleteFunc(want, func(key string) bool {
		return slices.Contains(saysSomething, key) && !slices.Contains(got, key)
	})
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("keys are %q, expected %q", got, want)
	}
	if !json.Valid(payload) {
		t.Fatalf("not valid JSON: %s", payload)
	}
}

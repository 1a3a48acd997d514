package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// reference is the document of a record, written a second time: plainly, from the published format alone and
// with the standard library's formatting. What the encoder writes must equal it to the byte.
func reference(o Origin, raw bool, r *teltonika.Record) string {
	document := []string{
		member("device_id", o.DeviceID),
		member("timestamp", referenceTime(int64(r.Timestamp))),
		member("latitude", referenceDegrees(r.Latitude)),
		member("longitude", referenceDegrees(r.Longitude)),
		member("altitude", r.Altitude),
		member("angle", r.Angle),
		member("speed", r.Speed),
		member("satellites", r.Satellites),
		member("priority", r.Priority),
		member("attributes", json.RawMessage(referenceAttributes(o.Codec, r))),
		member("event_id", r.EventID),
		member("fix", referenceFix(r)),
		member("codec", referenceCodec[o.Codec]),
		member("received_at", referenceTime(o.Received.UnixMilli())),
		member("id", referenceID(o.DeviceID, r)),
	}
	if raw {
		document = append(document, member("raw", base64.StdEncoding.EncodeToString(r.Raw)))
	}
	return "{" + strings.Join(document, ",") + "}"
}

// documentKeys are the keys of a document in their order; raw is there only on request.
var documentKeys = []string{
	"device_id", "timestamp", "latitude", "longitude", "altitude", "angle", "speed", "satellites", "priority",
	"attributes", "event_id", "fix", "codec", "received_at", "id", "raw",
}

var referenceCodec = map[teltonika.Codec]string{teltonika.Codec8: "8", teltonika.Codec8E: "8E", teltonika.Codec16: "16"}

func member(key string, value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return strconv.Quote(key) + ":" + string(b)
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
	offGlobe := latitude < -90 || latitude > 90 || longitude < -180 || longitude > 180
	if offGlobe || r.Satellites == 0 && latitude == 0 && longitude == 0 {
		return "none"
	}
	if r.Satellites == 0 {
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
func checkDocument(t *testing.T, o Origin, raw bool, r *teltonika.Record, doc Document) {
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
	checkKeys(t, raw, doc.Payload)
}

// checkKeys reads a document with encoding/json and compares its keys and their order.
func checkKeys(t *testing.T, raw bool, payload []byte) {
	t.Helper()
	want := documentKeys
	if !raw {
		want = want[:len(want)-1]
	}
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
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("keys are %q, expected %q", got, want)
	}
	if !json.Valid(payload) {
		t.Fatalf("not valid JSON: %s", payload)
	}
}

package teltonika

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// vector is one line of testdata/frames.jsonl: a packet, what it decodes to and the answer that a server owes.
type vector struct {
	Name        string          `json:"name"`
	Transport   string          `json:"transport"` // tcp, udp or raw
	Kind        string          `json:"kind"`
	Codec       string          `json:"codec"`
	Hex         string          `json:"hex"`
	CRCOK       *bool           `json:"crc_ok"`
	Reject      bool            `json:"reject"`
	Variant     string          `json:"variant"`
	Ack         *string         `json:"ack"`
	IMEI        string          `json:"imei"`
	PacketID    uint16          `json:"packet_id"`
	AVLPacketID byte            `json:"avl_packet_id"`
	PacketType  byte            `json:"packet_type"`
	Decoded     json.RawMessage `json:"decoded"`
}

func (v vector) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	return b
}

// body is the data field of an AVL or message packet of either transport.
func (v vector) body(t testing.TB) []byte {
	t.Helper()
	b := v.bytes(t)
	if v.Transport == "udp" {
		d, err := ParseDatagram(b)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		return d.Body
	}
	frame, rest, err := ParseFrame(b, 65536)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s: %v, %d bytes left", v.Name, err, len(rest))
	}
	return frame.Body()
}

func (v vector) isAVL() bool { return v.Kind == "avl" }

func (v vector) isMessage() bool {
	return v.Kind == "command" || v.Kind == "response" || v.Kind == "photo"
}

func vectors(t testing.TB) []vector {
	t.Helper()
	file, err := os.Open("testdata/frames.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []vector
	for dec := json.NewDecoder(bufio.NewReader(file)); dec.More(); {
		var v vector
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if len(all) != 376 {
		t.Fatalf("%d vectors, expected 376", len(all))
	}
	return all
}

type wantRecord struct {
	Timestamp  uint64  `json:"timestamp_ms"`
	Priority   uint8   `json:"priority"`
	Longitude  int32   `json:"lon_1e7"`
	Latitude   int32   `json:"lat_1e7"`
	Altitude   int16   `json:"altitude"`
	Angle      uint16  `json:"angle"`
	Satellites uint8   `json:"satellites"`
	Speed      uint16  `json:"speed"`
	EventID    uint16  `json:"event_id"`
	Generation *uint8  `json:"generation_type"`
	IO         [][]any `json:"io"`
}

// asWant brings a decoded record into the form of the expectations.
func asWant(r *Record, codec Codec) wantRecord {
	w := wantRecord{
		Timestamp: r.Timestamp, Priority: r.Priority, Longitude: r.Longitude, Latitude: r.Latitude,
		Altitude: r.Altitude, Angle: r.Angle, Satellites: r.Satellites, Speed: r.Speed, EventID: r.EventID,
		IO: [][]any{},
	}
	if codec == Codec16 {
		w.Generation = &r.Generation
	}
	for _, e := range r.Elements {
		value := fmt.Sprintf("%x", r.Bytes(e))
		if e.Numeric() {
			value = fmt.Sprintf("%0*x", 2*int(e.Size), e.Uint())
		}
		w.IO = append(w.IO, []any{float64(e.ID), float64(e.Size), value})
	}
	return w
}

func TestVectorsAVL(t *testing.T) {
	var data AVLData // one for all, as in the server
	seen := 0
	for _, v := range vectors(t) {
		if !v.isAVL() {
			continue
		}
		seen++
		body := v.body(t)
		err := data.Decode(body)
		if mismatch := body[1] != body[len(body)-1]; mismatch != (err != nil) {
			t.Errorf("%s: Decode: %v", v.Name, err)
			continue
		} else if mismatch {
			continue
		}
		if data.Codec.String() != v.Codec || data.N16 != (v.Variant == "n16") {
			t.Errorf("%s: codec %v, n16 %v", v.Name, data.Codec, data.N16)
		}
		got := make([]wantRecord, len(data.Records))
		for i := range data.Records {
			got[i] = asWant(&data.Records[i], data.Codec)
		}
		var want []wantRecord
		if err := json.Unmarshal(v.Decoded, &want); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		gotJSON, _ := json.Marshal(got)
		wantJSON, _ := json.Marshal(want)
		if !bytes.Equal(gotJSON, wantJSON) {
			t.Errorf("%s:\n got %s\nwant %s", v.Name, gotJSON, wantJSON)
		}
	}
	if seen != 323 {
		t.Errorf("%d AVL packets, expected 323", seen)
	}
}

package explain

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
)

const testdata = "../../teltonika/testdata/"

// vector is one line of frames.jsonl or codec7.jsonl: a packet and what an independent decoder makes of it.
type vector struct {
	Name        string `json:"name"`
	Transport   string `json:"transport"` // tcp, udp or raw
	Kind        string `json:"kind"`
	Codec       any    `json:"codec"`
	Hex         string `json:"hex"`
	CRCOK       any    `json:"crc_ok"`
	OK          bool   `json:"ok"` // parsed to the end
	Records     int    `json:"records"`
	Ack         any    `json:"ack"`
	IMEI        string `json:"imei"`
	PacketID    any    `json:"packet_id"`
	AVLPacketID any    `json:"avl_packet_id"`
	Decoded     any    `json:"decoded"`
}

func vectors(t testing.TB) []vector {
	t.Helper()
	all := append(readLines[vector](t, "frames.jsonl"), readLines[vector](t, "codec7.jsonl")...)
	if len(all) != 376+22 {
		t.Fatalf("%d vectors, expected 398", len(all))
	}
	return all
}

// readLines reads a file of the library's test data: one JSON object a line.
func readLines[T any](t testing.TB, name string) (all []T) {
	t.Helper()
	file, err := os.ReadFile(testdata + name)
	if err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(file)); decoder.More(); {
		var v T
		if err := decoder.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// traffic is the sample of whole TCP frames in hex.
func traffic(t testing.TB) []string {
	t.Helper()
	file, err := os.Open(testdata + "traffic.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(unzipped); err != nil {
		t.Fatal(err)
	}
	frames := strings.Fields(text.String())
	if len(frames) != 8752 {
		t.Fatalf("%d frames, expected 8752", len(frames))
	}
	return frames
}

// objects are the JSON objects of a text's packets.
func objects(t testing.TB, text string, transport Transport) []map[string]any {
	t.Helper()
	var all []map[string]any
	for p := range Line(text, transport) {
		all = append(all, object(t, p))
	}
	return all
}

func object(t testing.TB, p *Packet) map[string]any {
	t.Helper()
	var line bytes.Buffer
	if err := p.WriteJSON(&line); err != nil {
		t.Fatal(err)
	}
	if bytes.IndexByte(line.Bytes(), '\n') != line.Len()-1 {
		t.Fatalf("not one line: %q", line.Bytes())
	}
	apitest.Strict().Check(t, decoded, line.Bytes())
	var o map[string]any
	if err := json.Unmarshal(line.Bytes(), &o); err != nil {
		t.Fatal(err)
	}
	if (o["ok"] == true) != (o["error"] == nil) {
		t.Fatalf("ok and error disagree: %s", line.Bytes())
	}
	return o
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Kind == "stream" {
			continue
		}
		transports := []Transport{Auto, Transport(v.Transport)}
		if v.Transport == "raw" {
			transports[1] = TCP
		}
		for _, transport := range transports {
			got := objects(t, v.Hex, transport)
			if len(got) != 1 {
				t.Errorf("%s as %s: %d packets", v.Name, transport, len(got))
				continue
			}
			if want := v.object(t); !reflect.DeepEqual(without(got[0], "error", "meaning"), want) {
				t.Errorf("%s as %s:\n got %v\nwant %v", v.Name, transport, got[0], want)
			}
		}
	}
}

func without(o map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		delete(o, key)
	}
	return o
}

// object is what WriteJSON owes for the vector, except the error's text.
func (v vector) object(t *testing.T) map[string]any {
	t.Helper()
	switch v.Kind {
	case "keepalive":
		return map[string]any{"ok": true, "transport": "tcp", "kind": "keepalive"}
	case "login":
		return map[string]any{"ok": true, "transport": "tcp", "kind": "login", "ack": v.Ack,
			"imei": v.Decoded.(map[string]any)["imei"]}
	case "ack":
		d := v.Decoded.(map[string]any)
		return map[string]any{"ok": true, "transport": "udp", "kind": "ack",
			"packet_id": d["packet_id"], "avl_packet_id": d["avl_packet_id"], "accepted": d["accepted"]}
	}
	o := map[string]any{"ok": v.OK && v.CRCOK != false, "transport": v.Transport, "codec": v.Codec, "crc_ok": v.CRCOK,
		"count": float64(v.Records), "ack": v.Ack}
	if v.Transport == "udp" {
		o["imei"], o["packet_id"], o["avl_packet_id"] = v.IMEI, v.PacketID, v.AVLPacketID
	}
	if v.numbersDiffer(t) {
		o["ok"] = false
		if v.CRCOK != false {
			o["ack"] = v.deadLetterAck()
		}
	}
	if v.Kind == "avl" {
		o["records"] = v.Decoded
		return o
	}
	for _, m := range v.Decoded.([]any) {
		message := m.(map[string]any)
		delete(message, "size")
		delete(message, "camera")
		for _, key := range []string{"timestamp", "imei"} {
			if _, ok := message[key]; !ok {
				message[key] = nil
			}
		}
	}
	o["messages"] = v.Decoded
	return o
}

// numbersDiffer reports whether number of data 2 is another than number of data 1.
func (v vector) numbersDiffer(t *testing.T) bool {
	t.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	if v.Transport == "udp" {
		return b[24] != b[len(b)-1]
	}
	return b[9] != b[len(b)-5]
}

// deadLetterAck is the answer to a packet whose numbers of data differ: it is stored as it came, then acknowledged.
func (v vector) deadLetterAck() string {
	if v.Transport == "udp" {
		return fmt.Sprintf("0005%04x01%02x%02x", int(v.PacketID.(float64)), int(v.AVLPacketID.(float64)), v.Records)
	}
	return fmt.Sprintf("%08x", v.Records)
}

func TestStreamVectors(t *testing.T) {
	want := map[string][]any{ // the answers, as the vectors' notes have them
		"synth-raw-stream-001": {"01", "00000001"},
		"synth-raw-stream-003": {"00000001", "00000002", nil, "00000001"},
	}
	for _, v := range vectors(t) {
		if v.Kind != "stream" {
			continue
		}
		var got []any
		for _, o := range objects(t, v.Hex, Auto) {
			if o["ok"] != true {
				t.Errorf("%s: %v", v.Name, o)
			}
			got = append(got, o["ack"])
		}
		if !slices.Equal(got, want[v.Name]) {
			t.Errorf("%s: answers %v, expected %v", v.Name, got, want[v.Name])
		}
		delete(want, v.Name)
	}
	if len(want) > 0 {
		t.Errorf("vectors not seen: %v", want)
	}
}

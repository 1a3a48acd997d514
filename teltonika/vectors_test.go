package teltonika

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
)

// testMaxLength is the limit of the data field that the tests read frames with.
const testMaxLength = 65536

// vector is one line of testdata/frames.jsonl or testdata/codec7.jsonl: a packet, what it decodes to and the answer
// that a server owes.
type vector struct {
	Name        string          `json:"name"`
	Transport   string          `json:"transport"` // tcp, udp or raw
	Kind        string          `json:"kind"`
	Codec       string          `json:"codec"`
	Hex         string          `json:"hex"`
	CRCOK       *bool           `json:"crc_ok"`
	Records     int             `json:"records"`
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
	frame, rest, err := ParseFrame(b, testMaxLength)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s: %v, %d bytes left", v.Name, err, len(rest))
	}
	return frame.Body()
}

// answer is what a server owes in hex, empty for nothing.
func (v vector) answer() string {
	if v.Ack == nil {
		return ""
	}
	return *v.Ack
}

func (v vector) isAVL() bool { return v.Kind == "avl" }

func (v vector) isMessage() bool {
	return v.Kind == "command" || v.Kind == "response" || v.Kind == "photo"
}

// vectors are all lines of both files, to be read only.
func vectors(t testing.TB) []vector {
	t.Helper()
	all, err := readVectors()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 376+22 {
		t.Fatalf("%d vectors, expected 376 and 22 of Codec 7", len(all))
	}
	return all
}

var readVectors = sync.OnceValues(func() (all []vector, err error) {
	for _, name := range []string{"frames.jsonl", "codec7.jsonl"} {
		some, err := readLines[vector]("testdata/" + name)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
})

// readLines reads a file of one JSON object a line.
func readLines[T any](name string) (all []T, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for dec := json.NewDecoder(bufio.NewReader(file)); dec.More(); {
		var v T
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func vectorNamed(t testing.TB, name string) vector {
	t.Helper()
	for _, v := range vectors(t) {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no vector %s", name)
	return vector{}
}

// unhex reads hex with spaces between fields.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

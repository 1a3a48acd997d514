package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	vectorPackets   = 323 + 22  // AVL packets in frames.jsonl and in codec7.jsonl
	vectorDocuments = 1657 + 52 // of their records, one has no possible time
	trafficFrames   = 8752
	trafficRecords  = 15871
)

// received is 2026-11-22T11:00:00.123Z.
var received = time.Date(2026, time.November, 22, 12, 0, 0, 123_987_654, time.FixedZone("", 3600))

func origin(codec teltonika.Codec) Origin {
	return Origin{DeviceID: "356307042441013", Codec: codec, Received: received}
}

// vector is one AVL packet of the protocol package's test vectors.
type vector struct {
	Name      string `json:"name"`
	Transport string `json:"transport"`
	Kind      string `json:"kind"`
	Hex       string `json:"hex"`
	body      []byte // codec id to number of data 2
}

func avlVectors(t testing.TB) []vector {
	t.Helper()
	var text []byte
	for _, name := range []string{"frames.jsonl", "codec7.jsonl"} {
		file, err := os.ReadFile("../../teltonika/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, file...)
	}
	var all []vector
	for dec := json.NewDecoder(bytes.NewReader(text)); dec.More(); {
		var v vector
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if v.Kind != "avl" {
			continue
		}
		v.body = bodyOf(t, v.Transport, unhex(t, v.Hex))
		all = append(all, v)
	}
	if len(all) != vectorPackets {
		t.Fatalf("%d AVL packets, expected %d", len(all), vectorPackets)
	}
	return all
}

func bodyOf(t testing.TB, transport string, packet []byte) []byte {
	t.Helper()
	if transport == "udp" {
		datagram, err := teltonika.ParseDatagram(packet)
		if err != nil {
			t.Fatal(err)
		}
		return datagram.Body
	}
	frame, _, err := teltonika.ParseFrame(packet, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	return frame.Body()
}

// traffic is the protocol package's sample of real TCP frames.
func traffic(t testing.TB) []teltonika.Frame {
	t.Helper()
	file, err := os.Open("../../teltonika/testdata/traffic.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	frames := make([]teltonika.Frame, 0, trafficFrames)
	lines := bufio.NewScanner(zip)
	for lines.Scan() {
		frame, _, err := teltonika.ParseFrame(unhex(t, lines.Text()), 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(frames) != trafficFrames {
		t.Fatalf("%d frames, expected %d", len(frames), trafficFrames)
	}
	return frames
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

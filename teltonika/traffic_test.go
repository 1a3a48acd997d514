package teltonika

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"testing"
)

const (
	trafficFrames  = 8752
	trafficRecords = 15871
)

// traffic is a sample of real TCP frames, testdata/traffic.txt.gz.
func traffic(t testing.TB) []Frame {
	t.Helper()
	file, err := os.Open("testdata/traffic.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	frames := make([]Frame, 0, trafficFrames)
	lines := bufio.NewScanner(zip)
	for lines.Scan() {
		packet, err := hex.DecodeString(lines.Text())
		if err != nil {
			t.Fatalf("line %d: %v", len(frames)+1, err)
		}
		frame, rest, err := ParseFrame(packet, testMaxLength)
		if err != nil || len(rest) > 0 {
			t.Fatalf("line %d: %v, %d bytes left", len(frames)+1, err, len(rest))
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

// testdata/traffic.golden has a line for each frame: the 64-bit FNV-1a hash, in hex, of what describeAVL
// says about it. The lines were not made by this package but by a second decoder, written apart from it in
// another language from the protocol's description, so that the two prove each other.
func TestTrafficEqualsSecondDecoder(t *testing.T) {
	golden, err := os.ReadFile("testdata/traffic.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(golden))
	if len(want) != trafficFrames {
		t.Fatalf("%d golden lines, expected %d", len(want), trafficFrames)
	}
	var data AVLData
	records, wrong := 0, 0
	for i, frame := range traffic(t) {
		if err := frame.Verify(); err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
		if err := data.Decode(frame.Body()); err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
		records += len(data.Records)
		hash := fnv.New64a()
		text := describeAVL(&data)
		hash.Write([]byte(text))
		if got := fmt.Sprintf("%016x", hash.Sum64()); got != want[i] {
			t.Errorf("frame %d has hash %s, want %s:\n%s", i+1, got, want[i], text)
			if wrong++; wrong == 3 {
				t.FailNow()
			}
		}
	}
	if records != trafficRecords {
		t.Errorf("%d records, expected %d", records, trafficRecords)
	}
}

package teltonikasession

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// vector is a packet with the answer that is recorded for it.
type vector struct {
	Name      string
	Transport string
	Kind      string
	Codec     string
	Hex       string
	CRCOK     bool `json:"crc_ok"`
	Records   int
	Reject    bool
	Ack       string
}

// vectors are the TCP packets of the protocol library's test data.
func vectors(t testing.TB) []vector {
	return vectorsBy(t, func(v vector) bool { return v.Transport != "udp" })
}

func vectorsBy(t testing.TB, wanted func(vector) bool) (all []vector) {
	t.Helper()
	for _, name := range []string{"frames.jsonl", "codec7.jsonl"} {
		for _, v := range readLines[vector](t, name) {
			if wanted(v) {
				all = append(all, v)
			}
		}
	}
	return all
}

// readLines reads a file of the protocol library's test data: one JSON object a line.
func readLines[T any](t testing.TB, name string) (all []T) {
	t.Helper()
	text, err := os.ReadFile("../../teltonika/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// answer is what a session owes. The recorded answers leave malformed frames with a right CRC unanswered; the
// service keeps them as dead letters and answers them.
func (v vector) answer(packet []byte) string {
	if v.Ack == "" && v.Kind == "avl" && v.CRCOK {
		return ack(teltonika.Frame(packet).Count())
	}
	return v.Ack
}

func TestVectorsThroughASession(t *testing.T) {
	kinds := make(map[string]int)
	for _, v := range vectors(t) {
		kinds[v.Kind]++
		t.Run(v.Name, func(t *testing.T) {
			serve(t, func(s *service) {
				packet := unhex(t, v.Hex)
				switch v.Kind {
				case "login":
					d := s.dial()
					d.send(packet)
					d.expect(v.Ack)
				case "stream": // of its own login, or of frames behind one
					d := s.dial()
					if packet[1] == 0 {
						d.send(loginOf(imei))
						d.expect("01")
					}
					d.send(packet)
					got, _ := d.answers()
					if want := streams[v.Name]; got != want {
						t.Errorf("answer %s, want %s", got, want)
					}
				default:
					d := s.login()
					d.send(packet)
					d.expect(v.answer(packet))
					s.checkVector(v)
					d.expectAlive()
				}
			})
		})
	}
	if kinds["avl"] != 298+20 || kinds["login"] != 10 || len(kinds) < 6 {
		t.Errorf("packets by kind: %v", kinds)
	}
}

// streams are the answers to the vectors that are more than one packet.
var streams = map[string]string{
	"synth-raw-stream-001": "01" + "00000001",
	"synth-raw-stream-003": "00000001" + "00000002" + "00000001",
}

// checkVector compares what has been stored for an AVL frame.
func (s *service) checkVector(v vector) {
	s.Helper()
	switch {
	case v.Kind != "avl" || !v.CRCOK:
		s.expectStored(0, 0)
	case v.Reject, v.Name == "synth-tcp-avl-c8-014": // which has a timestamp beyond the year 9999
		s.expectStored(0, 1)
	default:
		// A frame may hold the same record twice.
		again := int(s.total("teltonika_records_duplicate_total"))
		s.expectStored(v.Records-again, 0)
		for _, r := range s.engine.Records() {
			if r.Codec != v.Codec {
				s.Errorf("stored as codec %s, want %s", r.Codec, v.Codec)
			}
		}
	}
}

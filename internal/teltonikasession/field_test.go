package teltonikasession

import (
	"encoding/hex"
	"encoding/json"
	"net"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// fieldPacket is one line of field.jsonl: a packet that somebody asked about in public, and what an independent decoder
// makes of it.
type fieldPacket struct {
	Name      string
	About     string
	Transport string
	Hex       string
	CRCOK     bool `json:"crc_ok"`
	OK        bool // one whole packet that parses to its end
	Decoded   []json.RawMessage
}

func fieldPackets(t *testing.T, transport string) (all []fieldPacket) {
	t.Helper()
	lines := readLines[fieldPacket](t, "field.jsonl")
	if len(lines) != 45 {
		t.Fatalf("%d packets, want 45", len(lines))
	}
	for _, p := range lines {
		if p.Transport == transport {
			all = append(all, p)
		}
	}
	return all
}

// distinct is how many of its records are not the same as another of them.
func (p fieldPacket) distinct() int {
	seen := make(map[string]bool)
	for _, r := range p.Decoded {
		seen[string(r)] = true
	}
	return len(seen)
}

// Every frame is answered with the number of its records and stored, also when it comes again and again and with
// keep-alives around it; a wrong CRC is not answered.
func TestFieldPacketsThroughASession(t *testing.T) {
	for _, p := range fieldPackets(t, "tcp") {
		if !p.OK {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			serve(t, func(s *service) {
				want, stored := ack(len(p.Decoded)), p.distinct()
				if !p.CRCOK {
					want, stored = "", 0
				}
				d := s.login()
				for _, around := range []string{"", "ff", ""} {
					d.send(unhex(t, around+p.Hex+around))
					d.expect(want)
					if !p.CRCOK {
						break // three of them close the connection
					}
				}
				s.expectStored(stored, 0)
				d.expectAlive()
				d = s.login() // and once more on the next connection
				d.send(unhex(t, p.Hex))
				d.expect(want)
				s.expectStored(stored+2, 0)
			})
		})
	}
}

// What is no single packet: what of it is good is answered and stored, and what follows is not taken for a frame.
func TestFieldCapturesThroughASession(t *testing.T) {
	for _, c := range []struct {
		name, login, answers string
		closed               bool
		stored               int
	}{
		{"field-a16", imei, "01" + ack(4), true, 4},         // a frame, and the zeros of a read buffer
		{"field-a61", "", "01" + ack(7) + ack(1), false, 2}, // seven times the same record
		{"field-a67", imei, "01", false, 0},                 // made up, with a wrong CRC
	} {
		t.Run(c.name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.dial()
				if c.login != "" {
					d.send(loginOf(c.login))
				}
				for _, p := range fieldPackets(t, "tcp") {
					if p.Name == c.name {
						d.send(unhex(t, p.Hex))
					}
				}
				if got, closed := d.answers(); got != c.answers || closed != c.closed {
					t.Errorf("answers %s, closed %v, want %s, %v", got, closed, c.answers, c.closed)
				}
				s.expectStored(c.stored, 0)
			})
		})
	}
}

// Every datagram is answered, one with the zeros of its sender's buffer behind it too, and when it comes again.
func TestFieldPacketsInDatagrams(t *testing.T) {
	all := fieldPackets(t, "udp")
	records := map[string]int{"field-a77": 12} // of which the independent decoder makes nothing
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			n := len(p.Decoded)
			if !p.OK {
				n = records[p.Name]
			}
			s := newPacketService(t)
			conn, err := net.Dial("udp", s.listenUDP())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			packet := unhex(t, p.Hex)
			d, err := teltonika.ParseDatagram(packet)
			if err != nil {
				t.Fatal(err)
			}
			want := hex.EncodeToString(d.AppendAnswer(nil, n))
			for range 2 {
				if _, err := conn.Write(packet); err != nil {
					t.Fatal(err)
				}
				answer := make([]byte, 100)
				conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				m, err := conn.Read(answer)
				if got := hex.EncodeToString(answer[:m]); got != want || err != nil {
					t.Errorf("%s: answer %s, %v, want %s", p.About, got, err, want)
				}
			}
			s.stop()
			s.checkLedger()
			s.expectStored(2*n-int(s.total("teltonika_records_duplicate_total")), 0)
			if p.OK && len(s.engine.Records()) != p.distinct() {
				t.Errorf("%d records, want %d", len(s.engine.Records()), p.distinct())
			}
		})
	}
	if len(all) != 9 {
		t.Errorf("%d datagrams, want 9", len(all))
	}
}

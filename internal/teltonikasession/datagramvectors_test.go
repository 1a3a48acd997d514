package teltonikasession

import (
	"encoding/hex"
	"net"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func isDatagram(v vector) bool { return v.Transport == "udp" && v.Kind == "avl" }

// Every recorded datagram is answered as recorded, over real sockets. The recorded answers leave one with a wrong
// number of data 2 unanswered; the service keeps it as a dead letter and answers it.
func TestVectorsInDatagrams(t *testing.T) {
	all := vectorsBy(t, isDatagram)
	if len(all) != 25+2 {
		t.Errorf("%d recorded datagrams, want 27", len(all))
	}
	wrongLengths := 0.0
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			s := newPacketService(t)
			conn, err := net.Dial("udp", s.listenUDP())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			packet := unhex(t, v.Hex)
			d, err := teltonika.ParseDatagram(packet)
			if err != nil {
				t.Fatal(err)
			}
			want := v.Ack
			if v.Reject {
				want = hex.EncodeToString(d.AppendAnswer(nil, v.Records))
			}
			if _, err := conn.Write(packet); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 100)
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, err := conn.Read(answer)
			if got := hex.EncodeToString(answer[:n]); got != want || err != nil {
				t.Errorf("answer %s, %v, want %s", got, err, want)
			}
			s.stop()
			s.checkLedger()
			wrongLengths += s.total("teltonika_udp_length_mismatch_total")
			if v.Reject {
				s.expectStored(0, 1)
				return
			}
			s.expectStored(v.Records-int(s.total("teltonika_records_duplicate_total")), 0)
			for _, r := range s.engine.Records() {
				if r.DeviceID != d.IMEI || r.Codec != v.Codec {
					t.Errorf("stored %s of %s, want %s of %s", r.Codec, r.DeviceID, v.Codec, d.IMEI)
				}
			}
		})
	}
	if wrongLengths != 5 {
		t.Errorf("%v wrong length fields, want 5", wrongLengths)
	}
}

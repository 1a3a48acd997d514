package admin

import (
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// largeTapped is a packet of ten records with eight elements each.
func largeTapped(t testing.TB) *tap.Packet {
	var records []teltonika.Record
	for i := range 10 {
		r := teltonika.Record{Timestamp: 1560161086000 + uint64(i), Longitude: 252560283, Latitude: 546674250, Satellites: 9}
		for _, id := range []uint16{239, 240, 21, 69, 200, 1, 80, 71} {
			r.AddNumber(id, teltonika.Group1, 1)
		}
		records = append(records, r)
	}
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: records}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &tap.Packet{IMEI: present, Transport: "tcp", Kind: tap.Frame, Outcome: tap.Stored, Bytes: frame}
}

// BenchmarkExplain is what a packet costs the reader of a tap, who has explainShare of a processor for it.
func BenchmarkExplain(b *testing.B) {
	p := largeTapped(b)
	for _, how := range []string{"json", "text", "both"} {
		b.Run(how, func(b *testing.B) {
			e := newExplainer(&TapView{Explain: how}, "one", nil)
			for b.Loop() {
				e.packet(p)
			}
		})
	}
}

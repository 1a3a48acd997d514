package explain

import (
	"reflect"
	"testing"
)

// The packets of field.jsonl, which somebody asked about in public, and what an independent decoder makes of them.

// fieldOK is what WriteJSON owes for those lines of field.jsonl that are no single whole packet: for each packet in
// them whether it is ok, and its answer.
var fieldOK = map[string][][2]any{
	"field-a16": {{true, "00000004"}, {true, nil}}, // a frame, and the zeros of a read buffer
	"field-a61": {{true, "01"}, {true, "00000007"}, {true, "00000001"}},
	"field-a67": {{false, nil}},             // made up: the CRC is wrong
	"field-a77": {{true, "0005cafe01960c"}}, // a datagram, and the zeros of its sender's buffer
}

func TestFieldPackets(t *testing.T) {
	all := readLines[vector](t, "field.jsonl")
	if len(all) != 45 {
		t.Fatalf("%d packets, expected 45", len(all))
	}
	for _, v := range all {
		checkAnnotations(t, unhex(t, v.Hex), Transport(v.Transport))
		for _, transport := range []Transport{Auto, Transport(v.Transport)} {
			got := objects(t, v.Hex, transport)
			if want, odd := fieldOK[v.Name]; odd {
				checkFieldAnswers(t, v, got, want)
			} else if len(got) != 1 {
				t.Errorf("%s as %s: %d packets", v.Name, transport, len(got))
			}
			if v.Decoded == nil {
				continue
			}
			o := got[0]
			if !reflect.DeepEqual(o["records"], v.Decoded) || o["codec"] != v.Codec || o["crc_ok"] != v.CRCOK ||
				o["ok"] != (v.CRCOK != false) || (o["ack"] == nil) != (v.CRCOK == false) {
				t.Errorf("%s as %s:\n got %v\nwant %v", v.Name, transport, o, v)
			}
		}
	}
}

func checkFieldAnswers(t *testing.T, v vector, got []map[string]any, want [][2]any) {
	t.Helper()
	var answers [][2]any
	for _, o := range got {
		answers = append(answers, [2]any{o["ok"], o["ack"]})
	}
	if !reflect.DeepEqual(answers, want) {
		t.Errorf("%s: %v, expected %v", v.Name, answers, want)
	}
}

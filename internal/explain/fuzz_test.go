package explain

import (
	"bytes"
	"testing"
)

// FuzzPackets: whatever comes in, nothing panics, every byte is annotated once, and the annotations agree with the
// library's decode.
func FuzzPackets(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(unhex(f, v.Hex), byte(0))
	}
	f.Add([]byte{}, byte(0))
	f.Add([]byte("\xff\xff\x00\x0f3520930814522"), byte(1))
	f.Add([]byte("\x16\x03\x01\x02\x00"), byte(2))
	f.Fuzz(func(t *testing.T, input []byte, transport byte) {
		all := []Transport{Auto, TCP, UDP}
		checkAnnotations(t, input, all[int(transport)%len(all)])
		for p := range Packets(input, all[int(transport)%len(all)]) {
			object(t, p)
		}
	})
}

// FuzzParseHex: what is accepted are the digits of the packet.
func FuzzParseHex(f *testing.F) {
	for _, text := range []string{"00ff", "0x00 0xFF", "00:ff\r\n", "0x", "0", "g", "é", "0xx1", "000x11"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		packet, err := ParseHex(text)
		if err != nil {
			if packet != nil {
				t.Fatalf("%q: %x with %v", text, packet, err)
			}
			return
		}
		digits := 0
		for _, c := range []byte(text) {
			if _, ok := hexDigit(c); ok {
				digits++
			}
		}
		prefixes := bytes.Count(bytes.ToLower([]byte(text)), []byte("0x"))
		if 2*len(packet) != digits-prefixes {
			t.Fatalf("%q: %x", text, packet)
		}
	})
}

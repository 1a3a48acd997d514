package teltonikasession

import "testing"

// Frames of Codec 12 to 15 get no answer of 4 bytes, and what follows them is read.
func TestMessagesAreNotAnswered(t *testing.T) {
	for codec, frames := range map[string][]string{
		"12": {"000000000000000f0c010500000007676574696e666f0100004312", "000000000000000e0c010500000006676574766572010000a4c2"},
		"14": {"00000000000000160e01050000000e0352093081452251676574766572010000d2c1", "00000000000000100e011100000008035209308145225101000032ac"},
		"15": {"000000000000001b0f010b00000013654b65a4012345678912345648656c6c6f210a01000093d6"},
	} {
		t.Run(codec, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				for _, f := range frames {
					d.send(unhex(t, f))
					d.expect("")
				}
				s.expectMetric(float64(len(frames)), "teltonika_frames_total", "codec="+codec, "result=ok")
				d.expectAlive()
				s.expectStored(2, 0)
			})
		})
	}
}

// Nor does one that cannot be decoded; it has no records, so there is nothing to keep or to refuse.
func TestMessagesThatCannotBeDecoded(t *testing.T) {
	for codec, name := range map[byte]string{0x0C: "12", 0x0D: "13", 0x0E: "14", 0x0F: "15"} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				d.send(bodyFrame(codec, 1, 6, 0, 0, 0, 200, 'x', 1)) // a size beyond the frame
				d.send(bodyFrame(codec, 1, 6))                       // no message, quantities differ
				d.expect("")
				s.expectMetric(2, "teltonika_frames_total", "codec="+name, "result=malformed")
				s.expectStored(0, 0)
				d.expectAlive()
			})
		})
	}
}

package teltonikasession

import (
	"strings"
	"testing"
)

// A device of the GH family was stuck for ever: its codec was unknown, so that no frame was ever acknowledged.
func TestCodec7DeviceIsNotStuck(t *testing.T) {
	serve(t, func(s *service) {
		// Two records: one with a place, and an alarm with nothing else.
		frame := bodyFrame(unhex(t, "0702"+"23c346000311425a000041ca00000701015e"+"e3c3460100"+"02")...)
		d := s.login()
		for range 2 { // a record sent again is the same record
			d.send(frame)
			d.expect(ack(2))
		}
		s.expectStored(2, 0)
		for i, want := range []string{
			`"latitude":54.5,"longitude":25.25,"satellites":7,"priority":0,"attributes":{"1":94},"fix":"ok","codec":"7",`,
			`"timestamp":"2026-01-05T10:40:01.000Z","priority":3,"attributes":{},"fix":"none","codec":"7",`,
		} {
			if r := s.engine.Records()[i]; r.Codec != "7" || !strings.Contains(r.Payload, want) {
				t.Errorf("record %d of codec %s: %s\nwithout %s", i+1, r.Codec, r.Payload, want)
			}
		}
		s.expectMetric(2, "teltonika_frames_total", "codec=7", "result=ok")
		s.expectMetric(4, "teltonika_records_received_total", "codec=7")
		s.expectMetric(2, "teltonika_records_published_total", "codec=7")
		s.expectMetric(2, "teltonika_records_duplicate_total")
		s.expectMetric(0, "teltonika_priority_out_of_range_total")

		d.send(bodyFrame(7, 3, 'x', 'y', 3))
		d.expect(ack(3))
		s.expectStored(2, 1)
		if dead := s.engine.DeadLetters()[0]; dead.Codec != "7" || dead.Reason != "malformed" {
			t.Errorf("dead letter %+v", dead)
		}
		d.expectAlive()
	})
}

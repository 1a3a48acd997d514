package teltonikasession

import (
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestWrongCRCIsNotAnswered(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		frame := goodFrame(2)
		d.send(wrongCRC(frame))
		d.expect("")
		s.expectMetric(1, "teltonika_frames_total", "codec=8", "result=crc_fail")
		s.expectMetric(0, "teltonika_records_received_total")
		s.expectStored(0, 0)
		d.send(frame)
		d.expect(ack(2))
		s.expectStored(2, 0)
	})
}

func TestWrongCRCUpperHalf(t *testing.T) {
	for at := 1; at <= 2; at++ {
		serve(t, func(s *service) {
			d := s.login()
			frame := goodFrame(1)
			frame[len(frame)-teltonika.TrailerSize+at-1] = 1
			d.send(frame)
			d.expect("")
			s.expectMetric(1, "teltonika_frames_total", "codec=8", "result=crc_fail")
		})
	}
}

func TestWrongCRCThreeInARowClose(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		d.send(wrongCRC(goodFrame(1)))
		d.send(wrongCRC(goodFrame(1)))
		d.send(keepAlives(3)) // no frame
		d.expect("")
		d.send(wrongCRC(goodFrame(1)))
		d.expectClosed("")
		s.expectReason(ReasonCRC)
		s.expectMetric(3, "teltonika_frames_total", "result=crc_fail")
	})
}

// Any frame with a right CRC shows that the boundaries are kept.
func TestWrongCRCsAreForgottenAtARightOne(t *testing.T) {
	type right struct {
		frame  []byte
		answer string
	}
	for name, r := range map[string]right{
		"good":                {goodFrame(2), ack(2)},
		"no records":          {bodyFrame(0x08, 0, 0), ack(0)},
		"malformed":           {malformed(2), ack(2)},
		"message":             {unhex(t, "000000000000000f0c010500000007676574696e666f0100004312"), ""},
		"undecodable message": {bodyFrame(0x0C, 1, 6, 0, 0, 0, 9, 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				for range 3 {
					d.send(wrongCRC(goodFrame(1)))
					d.send(wrongCRC(goodFrame(1)))
					d.expect("")
					d.send(r.frame)
					d.expect(r.answer)
				}
				d.send(wrongCRC(goodFrame(1)))
				d.send(wrongCRC(goodFrame(1)))
				d.expectAlive()
			})
		})
	}
}

// The count is the connection's, not the device's.
func TestWrongCRCsOfAnotherConnectionDoNotCount(t *testing.T) {
	serve(t, func(s *service) {
		for range 3 {
			d := s.login()
			d.send(wrongCRC(goodFrame(1)))
			d.send(wrongCRC(goodFrame(1)))
			d.expectAlive()
			d.conn.Close()
		}
	})
}

// A codec id that a wrong CRC has damaged must not make metrics grow.
func TestWrongCRCWithAnyCodecID(t *testing.T) {
	serve(t, func(s *service) {
		for id := range 256 {
			d := s.login()
			d.send(wrongCRC(bodyFrame(byte(id), 1, 1)))
			d.expect("")
			d.conn.Close()
		}
		families, err := s.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			// Of them 5 are there for tls and 5 for udp from the start.
			if f.GetName() == "teltonika_frames_total" && len(f.GetMetric()) > 16+5+5 {
				t.Errorf("%d label sets of teltonika_frames_total", len(f.GetMetric()))
			}
		}
	})
}

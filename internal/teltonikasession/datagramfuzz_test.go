package teltonikasession

import (
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// FuzzDatagram sends any two datagrams to an engine that works or fails. Whatever comes: no panic, no answer larger
// than the datagram, none to what has no device's form, no acknowledged record that is not stored, and balanced books.
func FuzzDatagram(f *testing.F) {
	for _, v := range vectorsBy(f, isDatagram) {
		f.Add(unhex(f, v.Hex), datagramOf(imei, 1, goodFrame(2)), byte(0))
	}
	f.Add(datagramOf(imei, 1, malformed(2)), datagramOf(imei, 1, bodyFrame(0x61, 1, 1)), byte(2))
	f.Add(datagramOf(imei, 1, marker), datagramOf(imei, 2, bodyFrame(0x0C, 1, 6)), byte(1))
	f.Fuzz(func(t *testing.T, first, second []byte, failing byte) {
		s := newPacketService(t)
		s.listen()
		s.engine.Fail(failEvery(int(failing%4), &engine.Error{Err: errEngine}))
		s.send(first)
		s.send(second)
		s.stop()
		s.checkLedger()
		s.expectMetric(0, "teltonika_udp_dropped_total", "reason=panic")
		s.expectMetric(0, "teltonika_udp_answers_failed_total")
		s.checkDatagramAnswers(first, second)
	})
}

// checkDatagramAnswers compares what has been acknowledged with what is stored.
func (s *packetService) checkDatagramAnswers(sent ...[]byte) {
	s.Helper()
	answers := s.socket.Answers()
	parsed := 0
	for _, b := range sent {
		if _, err := teltonika.ParseDatagram(b); err == nil {
			parsed++
		}
	}
	if len(answers) > parsed {
		s.Errorf("%d answers to %d datagrams", len(answers), parsed)
	}
	acknowledged := 0.0
	for _, b := range answers {
		a, err := teltonika.ParseAnswer(b.Data)
		if err != nil || b.Device != home {
			s.Fatalf("answer %x to %v: %v", b.Data, b.Device, err)
		}
		acknowledged += float64(a.Accepted)
	}
	stored := s.total("teltonika_records_published_total") + s.total("teltonika_records_duplicate_total") +
		s.total("teltonika_records_dead_lettered_total")
	if acknowledged > stored {
		s.Errorf("%v records acknowledged, %v stored", acknowledged, stored)
	}
}

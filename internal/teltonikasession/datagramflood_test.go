package teltonikasession

import (
	"testing"
	"testing/synctest"
)

// Whoever makes up a name for each datagram has a quota for each, but only one for all of them.
func TestDeadLettersOfAllDatagramsAreBounded(t *testing.T) {
	servePackets(t, func(s *packetService) {
		burst := datagramDeadLetterRate.Burst
		for i := range burst + 5 {
			s.socket.Send(datagramOf(spoofed(i), 1, malformed(1)), spoofedAddress(i))
			synctest.Wait()
		}
		if n := len(s.socket.Answers()); n != burst {
			t.Errorf("%d answers, want %d", n, burst)
		}
		s.expectStored(0, burst)
		s.expectMetric(5, "teltonika_records_refused_total", "reason=dead_letters", "transport=udp")
		d := s.login()
		d.send(malformed(2))
		d.expect(ack(2))
		pass(datagramDeadLetterRate.Interval)
		s.send(datagramOf(imei, 1, malformed(1)))
		s.expect(answerTo(1, 1))
		s.send(datagramOf(imei, 2, malformed(1)))
		s.expect()
	})
}

// So it is with records, which leave nothing of the bound to devices that are connected.
func TestRecordsOfAllDatagramsAreBounded(t *testing.T) {
	servePackets(t, func(s *packetService) {
		const each, burst = 50, 1000
		s.adapter.datagrams.recordRate.Burst = burst
		for i := range burst/each + 5 {
			s.socket.Send(datagramOf(spoofed(i), 1, goodFrame(each)), spoofedAddress(i))
			synctest.Wait()
		}
		if n := len(s.socket.Answers()); n != burst/each {
			t.Errorf("%d answers, want %d", n, burst/each)
		}
		s.expectStored(burst, 0)
		s.expectMetric(5*each, "teltonika_records_refused_total", "reason=overflow", "transport=udp")
		if s.log.Count("too many records in datagrams, not acknowledged") != 5 {
			t.Error("not logged")
		}
		d := s.login()
		d.send(goodFrame(200))
		d.expect(ack(200))
		pass(each * datagramRecordRate.Interval)
		b := datagramOf(imei, 1, goodFrame(each))
		s.send(b)
		s.expect(answerTo(1, each))
		s.send(b)
		s.expect()
	})
}

// A line about a frame says whose it is, from where and by what it came.
func TestLogOfAVerdictSaysWhereTheFrameCameFrom(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.send(datagramOf(imei, 1, malformed(1)))
		s.expect(answerTo(1, 1))
		if s.log.Count(`msg="frame cannot be decoded" imei=`+imei+` remote=192.0.2.7:40001 transport=udp error=`) != 1 {
			t.Errorf("logged: %s", s.log)
		}
		d := s.login()
		d.send(malformed(1))
		d.expect(ack(1))
		if s.log.Count(`msg="frame cannot be decoded" imei=`+imei+` remote=`) != 2 ||
			s.log.Count("transport=tcp error=") != 1 {
			t.Errorf("logged: %s", s.log)
		}
	})
}

// What a device and what strangers send in datagrams do not mix in the metrics.
func TestFiguresAreOfTheTransport(t *testing.T) {
	servePackets(t, func(s *packetService) {
		b, frame := datagramOf(imei, 1, goodFrame(2)), goodFrame(3)
		d := s.login()
		for range 2 {
			s.send(b)
			s.expect(answerTo(1, 2))
			d.send(frame)
			d.expect(ack(3))
		}
		s.expectMetric(2, "teltonika_records_duplicate_total", "transport=udp")
		s.expectMetric(3, "teltonika_records_duplicate_total", "transport=tcp")
		s.expectMetric(2, "teltonika_ack_latency_seconds", "transport=udp")
		s.expectMetric(2, "teltonika_ack_latency_seconds", "transport=tcp")
		s.send(datagramOf(imei, 1, malformed(1)))
		s.expect(answerTo(1, 1))
		s.expectMetric(1, "teltonika_records_dead_lettered_total", "reason=malformed", "transport=udp")
		s.expectMetric(0, "teltonika_records_dead_lettered_total", "transport=tcp")
	})
}

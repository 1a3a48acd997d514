package teltonikasession

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// FuzzSession sends any bytes, cut into segments, behind a login or without one, to an engine that works or fails.
// Whatever comes: no panic, no session that hangs, no acknowledged record that is not stored, and balanced books.
func FuzzSession(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(unhex(f, v.Hex), true, byte(3), byte(0))
	}
	f.Add(slices.Concat(keepAlives(9), loginOf(imei), goodFrame(2), malformed(3), goodFrame(1)), false, byte(1), byte(0))
	f.Add(slices.Concat(goodFrame(2), goodFrame(3), wrongCRC(goodFrame(1)), bodyFrame(0x61, 1, 1)), true, byte(20),
		byte(1))
	f.Add(slices.Concat(goodFrame(2), malformed(3)), true, byte(20), byte(2))
	f.Add(slices.Concat(loginOf(imei), goodFrame(2), loginOf(otherIMEI), keepAlives(1), goodFrame(1)), true, byte(5),
		byte(0))
	f.Add(slices.Concat(goodFrame(1), loginOf("1"), loginOf("12"), goodFrame(2), []byte("\x00\x05abc")), true, byte(30),
		byte(0))
	for _, c := range foreignExamples {
		f.Add([]byte(c.first), true, byte(200), byte(0))
		f.Add([]byte(c.first), false, byte(2), byte(0))
	}
	f.Fuzz(func(t *testing.T, sent []byte, login bool, segment, failing byte) {
		s := newService(t, func(o *Options) { o.MaxFrameBytes = 4096 })
		s.engine.Fail(failEvery(int(failing%4), &engine.Error{Err: errEngine}))
		answers := s.converse(sent, login, 1+int(segment))
		s.stop()
		s.checkLedger()
		s.expectMetric(0, "teltonika_connections_closed_total", "reason="+string(ingest.ReasonPanic))
		s.checkAnswers(answers, login)
	})
}

// failEvery makes every n-th batch fail, none for 0.
func failEvery(n int, err error) func(*engine.Batch) error {
	if n == 0 {
		return nil
	}
	batches := 0
	return func(*engine.Batch) error {
		if batches++; batches%n == 0 {
			return err
		}
		return nil
	}
}

// converse sends everything and returns all answers.
func (s *service) converse(sent []byte, login bool, segment int) []byte {
	s.Helper()
	conn := s.listener.Dial()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.Fatal(err)
	}
	go func() {
		if login {
			_, _ = conn.Write(loginOf(imei))
		}
		for part := range slices.Chunk(sent, segment) {
			if _, err := conn.Write(part); err != nil {
				return // closed by the server
			}
		}
		// The server answers this marker, if it is still there and at a frame's boundary.
		_, _ = conn.Write(marker)
		_, _ = conn.Write(make([]byte, 8)) // length 0: ends the connection at a boundary
		conn.Close()
	}()
	answers, err := io.ReadAll(conn)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		s.Error("the session hangs")
	}
	return answers
}

// marker is a frame without records.
var marker = bodyFrame(byte(teltonika.Codec8), 0, 0)

// checkAnswers adds up what has been acknowledged and compares it with what is stored.
func (s *service) checkAnswers(answers []byte, login bool) {
	s.Helper()
	if len(answers) > 0 && !bytes.HasPrefix(answers, []byte{teltonika.LoginAccept}) {
		s.Fatalf("answers %x begin without a login's", answers)
	}
	if login && len(answers) == 0 {
		s.Fatal("login not answered")
	}
	acknowledged := 0.0
	for a := answers; len(a) > 0; {
		switch {
		case a[0] == teltonika.LoginAccept: // the first login's, or a later one's
			a = a[1:]
		case len(a) >= 4 && a[0] == 0 && a[1] == 0 && a[2] == 0:
			acknowledged += float64(a[3])
			a = a[4:]
		default:
			s.Fatalf("answers %x are not logins' and ACKs", answers)
		}
	}
	stored := s.total("teltonika_records_published_total") + s.total("teltonika_records_duplicate_total") +
		s.total("teltonika_records_dead_lettered_total")
	if acknowledged > stored {
		s.Errorf("%v records acknowledged, %v stored", acknowledged, stored)
	}
	kept := float64(len(s.engine.Records()))
	if published := s.total("teltonika_records_published_total"); published > kept {
		s.Errorf("%v records published, the engine has %v", published, kept)
	}
}

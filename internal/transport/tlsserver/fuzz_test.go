package tlsserver

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// scripted is a socket on which a peer has sent some bytes, in pieces, and gone.
type scripted struct {
	data  []byte
	piece int
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.data)
	s.data = s.data[n:]
	return n, nil
}

func (*scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (*scripted) Close() error                     { return nil }
func (*scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*scripted) SetDeadline(time.Time) error      { return nil }
func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }

// FuzzDetect has devices begin with anything: what is not TLS arrives unchanged, and what looks like it ends with a
// reason of the set, and leaves the semaphore.
func FuzzDetect(f *testing.F) {
	f.Add([]byte("\x00\x0f356307042441013"), 3)
	f.Add([]byte("\xff\xff\x00\x0f356307042441013"), 1)
	f.Add([]byte("\x16\x03\x01"), 1)
	f.Add([]byte("\x16\x03\x01\x00\x00\x16\x03\x01\x00\x01\x01"), 2)
	f.Add([]byte("\x16\x03\x01\xff\xffx"), 9)
	f.Add([]byte{}, 1)
	hello := clientHello(f)
	f.Add(hello, 7)
	f.Add(append(hello, 0x15, 3, 3, 0, 2, 2, 48), 1000)
	_, dir := newPKI(f)
	s, err := New(Options{CertFile: dir + "/tls.crt", KeyFile: dir + "/tls.key", Metrics: newTestMetrics(),
		Logger: discard, Handshakes: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		conn := s.Detect(&scripted{bytes.Clone(data), max(1, piece)})
		ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
		defer cancel()
		err := conn.Handshake(ctx)
		plain := len(data) > 0 && data[0] != handshakeRecord
		if plain != (err == nil) {
			t.Fatalf("plain %v, handshake ended with %v", plain, err)
		}
		if plain {
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("read %x, %v", got, err)
			}
		} else if len(data) == 0 {
			if err != io.EOF {
				t.Fatalf("nothing sent, and %v", err)
			}
		} else if e, ok := err.(*HandshakeError); !ok || e.Reason == "" || e.Cause == "" || e.Reason == ReasonTimeout {
			t.Fatalf("handshake ended with %#v", err)
		}
		if s.semaphore.free != 1 {
			t.Fatal("still inside the semaphore")
		}
	})
}

// FuzzRecords has a device send anything behind its handshake.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x17\x03\x03\x00\x05hello"), 4)
	f.Add([]byte("\x15\x03\x03\x00\x02\x02\x30"), 1)
	f.Add([]byte("\x17\x03\x03\x00\x00\x17\x03\x03\x00\x00"), 5)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		r := &records{Conn: &scripted{bytes.Clone(data), max(1, piece)}}
		var got []byte
		p := make([]byte, 600)
		for {
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if err == errBetweenRecords {
				err = r.await()
			}
			if err != nil {
				break
			}
		}
		if !bytes.HasPrefix(data, got) || len(data)-len(got) >= headerSize {
			t.Fatalf("passed on %x of %x", got, data)
		}
	})
}

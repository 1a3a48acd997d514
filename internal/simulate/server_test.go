package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// server is a strict server: every login, frame, CRC and record must be right. What it answers is up to the test.
type server struct {
	tb     testing.TB
	login  func(imei string) []byte     // nil = accept
	answer func(arrival arrival) answer // nil = acknowledge
	late   []byte                       // written to devices that have said goodbye
	stop   io.Closer                    // ends listening
	wg     sync.WaitGroup

	mu         sync.Mutex
	arrivals   map[string][]arrival // by IMEI
	keepAlives int
	commands   map[string][]string // the payloads of messages that have arrived, by IMEI; nil = none may
	logins     int
}

// arrival is a frame that has arrived.
type arrival struct {
	imei    string
	frame   []byte
	codec   teltonika.Codec
	records []teltonika.Record
	nth     int // of the device, from 0
	at      time.Time
}

// answer is what the server does about a frame.
type answer struct {
	delay time.Duration
	bytes []byte
	close bool
}

func ack(n int) answer { return answer{bytes: teltonika.AppendAck(nil, n)} }

// listen starts the server on TCP. It ends with the test, after every connection.
func (s *server) listen() (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.tb.Fatal(err)
	}
	return s.listenOn(listener)
}

func (s *server) listenOn(listener net.Listener) (address string) {
	s.stop = listener
	s.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	s.tb.Cleanup(s.close)
	return listener.Addr().String()
}

func (s *server) close() {
	s.stop.Close()
	s.wg.Wait()
}

// dial connects to the server through a pipe, for tests in virtual time.
func (s *server) dial() Dialer {
	return func(_ context.Context, _ int) (net.Conn, error) {
		near, far := net.Pipe()
		s.wg.Go(func() { s.serve(far) })
		return near, nil
	}
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	imei, err := s.readLogin(conn)
	if err != nil {
		return
	}
	for {
		frame, err := s.readFrame(conn)
		if err != nil {
			if !ended(err) {
				s.tb.Errorf("%s: %v", imei, err)
			}
			conn.Write(s.late)
			return
		}
		if s.commands != nil && teltonika.Frame(frame).Codec().IsMessage() {
			s.receive(imei, frame)
			continue
		}
		a := s.arrived(imei, frame)
		answer := ack(len(a.records))
		if s.answer != nil {
			answer = s.answer(a)
		}
		if answer.delay > 0 {
			time.Sleep(answer.delay) // as a slow server
		}
		if answer.close {
			return
		}
		if len(answer.bytes) > 0 {
			conn.Write(answer.bytes)
		}
	}
}

// ended reports whether the device has left, at whatever point of a frame.
func ended(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) ||
		errors.Is(err, io.ErrClosedPipe)
}

func (s *server) readLogin(conn net.Conn) (string, error) {
	login := make([]byte, 17)
	if _, err := io.ReadFull(conn, login); err != nil {
		return "", err
	}
	imei, err := teltonika.ParseLogin(login)
	if err != nil {
		s.tb.Error(err)
		return "", err
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	answer := []byte{teltonika.LoginAccept}
	if s.login != nil {
		answer = s.login(imei)
	}
	if _, err := conn.Write(answer); err != nil {
		return "", err
	}
	if answer[0] != teltonika.LoginAccept {
		return "", errRefused
	}
	return imei, nil
}

// readFrame reads a frame, and the keep-alives before it.
func (s *server) readFrame(conn net.Conn) ([]byte, error) {
	frame := make([]byte, teltonika.HeaderSize)
	for {
		if _, err := io.ReadFull(conn, frame[:1]); err != nil {
			return nil, err
		}
		if frame[0] != teltonika.KeepAlive {
			break
		}
		s.mu.Lock()
		s.keepAlives++
		s.mu.Unlock()
	}
	if _, err := io.ReadFull(conn, frame[1:]); err != nil {
		return nil, err
	}
	size, err := teltonika.ParseHeader(frame, 65536)
	if err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, size-len(frame))...)
	_, err = io.ReadFull(conn, frame[teltonika.HeaderSize:])
	return frame, err
}

func (s *server) arrived(imei string, frame []byte) arrival {
	if err := teltonika.Frame(frame).Verify(); err != nil {
		s.tb.Error(err)
	}
	var data teltonika.AVLData
	if err := data.Decode(teltonika.Frame(frame).Body()); err != nil {
		s.tb.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.arrivals == nil {
		s.arrivals = make(map[string][]arrival)
	}
	a := arrival{imei: imei, frame: frame, codec: data.Codec, records: data.Records, nth: len(s.arrivals[imei])}
	a.at = time.Now()
	s.arrivals[imei] = append(s.arrivals[imei], a)
	return a
}

func (s *server) receive(imei string, frame teltonika.Frame) {
	var m teltonika.Messages
	err := m.Decode(frame.Body())
	if err == nil {
		err = frame.Verify()
	}
	if err != nil {
		s.tb.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, message := range m.Messages {
		s.commands[imei] = append(s.commands[imei], string(message.Payload))
	}
}

// frames returns how many frames have arrived, those that came again included.
func (s *server) frames() (n int) {
	for _, arrivals := range s.arrivals {
		n += len(arrivals)
	}
	return n
}

// ids returns the ids of all records that have arrived, and how often each has.
func (s *server) ids() map[string]int {
	ids := make(map[string]int)
	for _, arrivals := range s.arrivals {
		for _, a := range arrivals {
			for _, r := range a.records {
				ids[fmt.Sprintf("%s-%d-%016x", a.imei, r.Timestamp, xxhash.Sum64(r.Raw))]++
			}
		}
	}
	return ids
}

// same reports whether two arrivals are of the same bytes.
func same(a, b arrival) bool { return bytes.Equal(a.frame, b.frame) }

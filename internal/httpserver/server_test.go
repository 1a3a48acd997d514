package httpserver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const most = 8

// running is a server on this machine that answers GET /, and GET /wait when it is released.
type running struct {
	*testing.T
	address string
	waits   chan struct{} // one for each request that begins to wait
	release chan struct{}
}

func start(t *testing.T) *running {
	t.Helper()
	r := &running{T: t, waits: make(chan struct{}, 100), release: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "well") })
	mux.HandleFunc("GET /wait", func(w http.ResponseWriter, _ *http.Request) {
		r.waits <- struct{}{}
		<-r.release
		io.WriteString(w, "done")
	})
	s := New(Options{Handler: mux, MaxConnections: most, Logger: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Close(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// dial connects from one of this machine's addresses, and sends the bytes.
func (r *running) dial(from, bytes string) net.Conn {
	r.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp", r.address)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, bytes)
	return c
}

// get sends a request on a connection that stays open.
func (r *running) get(c net.Conn, path string) (body string, err error) {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	return readAnswer(c)
}

func readAnswer(c net.Conn) (body string, err error) {
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return string(b), err
}

func (r *running) expectWell(from string) {
	r.Helper()
	if body, err := r.get(r.dial(from, ""), "/"); body != "well" {
		r.Errorf("answer %q, %v", body, err)
	}
}

// Whatever others hold without a request, a new one is answered: from their address and from another.
func TestConnectionsThatWaitMakeRoom(t *testing.T) {
	for name, begun := range map[string]string{
		"nothing sent": "", "half a request": "GET / HTTP/1.1\r\nHost:",
		"kept alive": "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			for range 5 * most {
				s.dial("127.0.0.1", begun)
			}
			s.expectWell("127.0.0.1")
			s.expectWell("127.0.0.2")
		})
	}
}

// The connection that has waited longest goes, and one with a request in hand is not disturbed.
func TestTheOldestThatWaitsGoes(t *testing.T) {
	s := start(t)
	busy := s.dial("127.0.0.1", "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-s.waits
	first, second := s.dial("127.0.0.1", ""), s.dial("127.0.0.1", "")
	s.get(first, "/") // from now on the second one has waited longer
	for i := range most - 2 {
		s.dial(fmt.Sprint("127.0.0.", 3+i%2), "")
	}
	if _, err := second.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the one that waits longest: %v", err)
	}
	if body, err := s.get(first, "/"); body != "well" {
		t.Errorf("the other one: %q, %v", body, err)
	}
	close(s.release)
	if body, err := readAnswer(busy); body != "done" {
		t.Errorf("the one at work: %q, %v", body, err)
	}
}

// An address all of whose requests take long keeps out itself, and no other.
func TestRequestsOfOneAddressKeepNoOtherOut(t *testing.T) {
	s := start(t)
	defer close(s.release)
	for range most {
		s.dial("127.0.0.1", "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-s.waits
	}
	if body, err := s.get(s.dial("127.0.0.1", ""), "/"); err == nil {
		t.Errorf("answer %q beyond the limit", body)
	}
	s.expectWell("127.0.0.2")
}

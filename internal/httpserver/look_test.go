package httpserver

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What begins like no request is told, and answered 400 at once. Requests are answered as ever.
func TestNotHTTP(t *testing.T) {
	told := make(chan string, 10)
	s := New(Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "well") }),
		MaxConnections: most, Logger: slog.New(slog.DiscardHandler),
		NotHTTP: func(remote net.Addr, first []byte) { told <- remote.String() + " " + string(first) }})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() { s.Close(t.Context()); <-served }()
	r := &running{T: t, address: l.Addr().String()}
	for _, first := range []string{"\x00\x0f356307042441013", "\x16\x03\x01\x02\x00", "##,imei:1,A;", "get / HTTP/1.1\r\n",
		strings.Repeat("\x00", 200)} {
		c := r.dial("127.0.0.1", first)
		begin := time.Now()
		if b, err := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 400") || time.Since(begin) > headerTimeout {
			t.Errorf("%q is answered %q, %v after %v", first, b, err, time.Since(begin))
		}
		if got, want := <-told, c.LocalAddr().String()+" "+first[:min(len(first), maxFirst)]; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	c := r.dial("127.0.0.1", "")
	for range 2 {
		if body, err := r.get(c, "/"); body != "well" {
			t.Errorf("answer %q, %v", body, err)
		}
	}
	r.dial("127.0.0.1", "").Close() // a health check
	if len(told) > 0 {
		t.Errorf("told %q", <-told)
	}
}

package httpsink

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var l net.Listener
	testkit.Succeeds(t, "listening on "+address, testkit.Timeout, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l
}

func serverTLS(t *testing.T, c testkit.Certificates) *tls.Config {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(c.Server, c.Server)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(c.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert}
}

// serve gives each connection to the function, and closes it then.
func serve(t *testing.T, each func(net.Conn)) (url string) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				each(conn)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// readRequest reads a whole request from a connection.
func readRequest(conn net.Conn) {
	if q, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_, _ = io.Copy(io.Discard, q.Body)
	}
}

// drip writes the text again and again, until the other side has enough.
func drip(conn net.Conn, text string, pause time.Duration) (written int64) {
	ticker := time.NewTicker(max(pause, time.Nanosecond))
	defer ticker.Stop()
	for {
		n, err := io.WriteString(conn, text)
		written += int64(n)
		if err != nil {
			return written
		}
		if pause > 0 {
			<-ticker.C
		}
	}
}

// TestServersThatDoNotAnswer: each is given up in time, and nothing counts as delivered or is put aside.
func TestServersThatDoNotAnswer(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for name, each := range map[string]func(net.Conn){
		"hangs":       func(c net.Conn) { readRequest(c); _, _ = io.Copy(io.Discard, c) },
		"reads not":   func(net.Conn) { <-t.Context().Done() },
		"closes":      func(c net.Conn) { readRequest(c) },
		"resets":      func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
		"drips":       func(c net.Conn) { readRequest(c); drip(c, "HTTP/1.1 100 Continue\r\n\r\n", 10*time.Millisecond) },
		"never ends":  func(c net.Conn) { readRequest(c); drip(c, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", 100), 0) },
		"headers":     func(c net.Conn) { drip(c, "X: y\r\n", 0) },
		"no HTTP":     func(c net.Conn) { readRequest(c); _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") },
		"half a line": func(c net.Conn) { readRequest(c); _, _ = io.WriteString(c, "HTTP/1.1 20") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, aside := newSink(t, Options{URL: serve(t, each), Timeout: timeout})
			start := time.Now()
			err := s.Deliver(t.Context(), records(0, 10))
			if took := time.Since(start); err == nil || took > timeout+5*time.Second || len(aside.ids) > 0 {
				t.Errorf("%v after %v, put aside: %v", err, took, aside.reasons)
			}
		})
	}
}

// TestServerAcceptsAndGoesOn: the status is what counts, the rest of the answer is neither waited for nor kept.
func TestServerAcceptsAndGoesOn(t *testing.T) {
	var endless atomic.Int64
	for name, each := range map[string]func(net.Conn){
		"drips": func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
			drip(c, "x", 10*time.Millisecond)
		},
		"endless": func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 202 Accepted\r\n\r\n")
			endless.Store(drip(c, strings.Repeat("x", 1<<20), 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSink(t, Options{URL: serve(t, each), Timeout: time.Minute})
			start := time.Now()
			if err := s.Deliver(t.Context(), records(0, 10)); err != nil || time.Since(start) > answerTime+5*time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
	}
	testkit.Eventually(t, "the end of the endless answer", func() bool { return endless.Load() > 0 })
	if n := endless.Load(); n > 64<<20 { // what the sockets' buffers take
		t.Errorf("%d bytes of an answer were taken", n)
	}
}

// TestServerThatLies: it accepts what it cannot have had yet.
func TestServerThatLies(t *testing.T) {
	url := serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		<-t.Context().Done()
	})
	s, aside := newSink(t, Options{URL: url, Timeout: 5 * time.Second})
	large := records(0, 10)
	for i := range large {
		large[i].Payload = []byte(`"` + strings.Repeat("x", 2<<20) + `"`)
	}
	if err := s.Deliver(t.Context(), large); err == nil || len(aside.ids) > 0 {
		t.Errorf("%v, put aside: %v", err, aside.reasons)
	}
}

// TestStopsAtOnce: the process has to end while the server hangs.
func TestStopsAtOnce(t *testing.T) {
	asked := make(chan struct{})
	s, _ := newSink(t, Options{Timeout: time.Minute, URL: serve(t, func(c net.Conn) {
		readRequest(c)
		close(asked)
		_, _ = io.Copy(io.Discard, c)
	})})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	start := time.Now()
	if err := s.Deliver(ctx, []forward.Item{records(0, 1)[0]}); err == nil || time.Since(start) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

package tlsserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestDetection(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir, detecting)
	t.Run("tls", func(t *testing.T) {
		conn, err := s.dial(t, trusting(root))
		if err != nil {
			t.Fatal(err)
		}
		echo(t, conn, "\x00\x0f356307042441013")
		if s.result(t); !(<-s.conns).IsTLS() {
			t.Error("not said to be TLS")
		}
	})
	for _, first := range []string{"\x00\x0f356307042441013", "\xff", "\xff\xff\x00\x0f356307042441013", "\x15", "G"} {
		t.Run("plain "+first, func(t *testing.T) {
			conn := s.connect(t)
			echo(t, conn, first)
			echo(t, conn, "and more")
			if s.result(t); (<-s.conns).IsTLS() {
				t.Error("said to be TLS")
			}
		})
	}
	if n := testutil.ToFloat64(s.options.Metrics.handshakes.WithLabelValues(resultOK)); n != 1 {
		t.Errorf("%v handshakes counted, want that of the TLS connection", n)
	}
}

// TestDetectionOfNothing has peers that show nothing to detect: they are no failures of TLS.
func TestDetectionOfNothing(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir, detecting, timeout(300*time.Millisecond))
	s.connect(t).Close()
	if err := s.result(t); err != io.EOF {
		t.Errorf("closed: %v", err)
	}
	s.connect(t)
	if err := s.result(t); !isTimeout(err) {
		t.Errorf("silent: %v", err)
	}
	if strings.Contains(s.log.String(), "failed") {
		t.Errorf("logged: %s", s.log)
	}
}

// pair returns the two ends of an established connection.
func pair(t testing.TB, c *tls.Config) (device net.Conn, conn *Conn) {
	t.Helper()
	root, dir := newPKI(t)
	s, err := New(Options{CertFile: dir + "/tls.crt", KeyFile: dir + "/tls.key",
		Metrics: newTestMetrics(), Logger: discard, MinVersion: tls.VersionTLS10})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn = s.Wrap(accepted)
	c.RootCAs, c.ServerName = root.pool(), "localhost"
	client := tls.Client(raw, c)
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	if err := errors.Join(conn.Handshake(ctx), <-done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(); conn.Close() })
	return client, conn
}

// TestReadsOfAllSizes reads records of all sizes with buffers of all sizes, in every version.
func TestReadsOfAllSizes(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			device, conn := pair(t, &tls.Config{MinVersion: version, MaxVersion: version})
			var sent bytes.Buffer
			for n := 1; n < 40000; n = n*2 + 1 {
				sent.Write(bytes.Repeat([]byte{byte(n)}, n))
			}
			go func() {
				for _, size := range []int{1, 8, 17, 1300, 5000} {
					device.Write(sent.Bytes()[:size])
				}
				device.Write(sent.Bytes())
			}()
			var want bytes.Buffer
			for _, size := range []int{1, 8, 17, 1300, 5000} {
				want.Write(sent.Bytes()[:size])
			}
			want.Write(sent.Bytes())
			got := make([]byte, 0, want.Len())
			for size := 1; len(got) < want.Len(); size = size%3000 + 7 {
				part := make([]byte, min(size, want.Len()-len(got)))
				n, err := conn.Read(part)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, part[:n]...)
			}
			if !bytes.Equal(got, want.Bytes()) {
				t.Error("what was read is not what was sent")
			}
		})
	}
}

// oneByte is a socket whose network delivers bytes one by one.
type oneByte struct{ net.Conn }

func (c oneByte) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

func TestByteByByte(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	here, there := net.Pipe()
	conn := s.Wrap(oneByte{there})
	defer conn.Close()
	device := tls.Client(here, trusting(root))
	go func() {
		device.Handshake()
		io.WriteString(device, "hello")
	}()
	if err := conn.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	go io.Copy(io.Discard, here) // the goodbye
}

// TestReadGoesOnAfterItsDeadline has the deadline pass in the middle of a record's header and of its body.
func TestReadGoesOnAfterItsDeadline(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	here, there := net.Pipe()
	conn := s.Wrap(there)
	tap := &cutter{Conn: here}
	device := tls.Client(tap, trusting(root))
	go device.Handshake()
	if err := conn.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{2, headerSize, 12} {
		tap.keep(cut)
		sent := make(chan error, 1)
		go func() { _, err := io.WriteString(device, "hello"); sent <- err }()
		b := make([]byte, 5)
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := conn.Read(b); n != 0 || !isTimeout(err) {
			t.Fatalf("read %d bytes, %v, want a timeout", n, err)
		}
		conn.SetReadDeadline(time.Time{})
		go tap.release()
		if _, err := io.ReadFull(conn, b); err != nil || string(b) != "hello" {
			t.Fatalf("read %q, %v after the deadline", b, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	go io.Copy(io.Discard, here)
	conn.Close()
}

// cutter writes the first bytes of what is written, and the others on demand.
type cutter struct {
	net.Conn
	first int
	rest  chan []byte
}

func (c *cutter) keep(first int) { c.first, c.rest = first, make(chan []byte, 1) }

func (c *cutter) Write(p []byte) (int, error) {
	if c.first == 0 {
		return c.Conn.Write(p)
	}
	first := c.first
	c.first = 0
	c.rest <- append([]byte(nil), p[first:]...)
	_, err := c.Conn.Write(p[:first])
	return len(p), err
}

func (c *cutter) release() { c.Conn.Write(<-c.rest) }

// TestCloseDoesNotWait closes a connection whose device has stopped reading: tls.Conn would wait five seconds.
func TestCloseDoesNotWait(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	here, there := net.Pipe() // which takes nothing that nobody reads
	defer here.Close()
	conn := s.Wrap(there)
	device := tls.Client(here, &tls.Config{RootCAs: root.pool(), ServerName: "localhost", MaxVersion: tls.VersionTLS12})
	done := make(chan error, 1)
	go func() { done <- device.Handshake() }()
	if err := errors.Join(conn.Handshake(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	conn.Close()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCloseSaysGoodbye(t *testing.T) {
	device, conn := pair(t, &tls.Config{})
	conn.Close()
	if _, err := device.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the device read %v, want the end", err)
	}
}

func TestNothingBeforeTheHandshake(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir)
	here, there := net.Pipe()
	defer here.Close()
	conn := s.Wrap(there)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, errNoHandshake) {
		t.Errorf("read: %v", err)
	}
	if _, err := conn.Write([]byte{1}); !errors.Is(err, errNoHandshake) {
		t.Errorf("write: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestBindIMEI(t *testing.T) {
	const imei = "356307042441013"
	root, dir := newPKI(t)
	ca := write(t, filepath.Join(dir, "ca"), certificatePEM(root))
	s := startService(t, dir, clientAuth(ClientAuthOptional, ca), func(_ *service, o *Options) { o.BindIMEI = true })
	for name, c := range map[string]struct {
		certificate *issuer
		want        error
	}{
		"common name":    {root.issue(t, imei, ecdsaKey(), asClient), nil},
		"DNS name":       {root.issue(t, "tracker", ecdsaKey(), asClient, dnsName(imei)), nil},
		"URI":            {root.issue(t, "tracker", ecdsaKey(), asClient, uri("urn:gsma:imei:35630704-244101-3")), nil},
		"another device": {root.issue(t, "356307042441014", ecdsaKey(), asClient), ErrCertificateIMEI},
		"part of it":     {root.issue(t, imei+"0", ecdsaKey(), asClient), ErrCertificateIMEI},
		"no name":        {root.issue(t, "", ecdsaKey(), asClient), ErrCertificateIMEI},
		"no certificate": {nil, nil},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				device := trusting(root)
				device.MaxVersion, device.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
				if c.certificate != nil {
					device.Certificates = []tls.Certificate{{Certificate: [][]byte{c.certificate.certificate.Raw},
						PrivateKey: c.certificate.key}}
				}
				for range 2 { // the second session is resumed
					conn, err := s.dial(t, device)
					if err != nil {
						t.Fatal(err)
					}
					echo(t, conn, "login")
					s.result(t)
					if err := (<-s.conns).VerifyIMEI(imei); !errors.Is(err, c.want) {
						t.Errorf("%v, want %v", err, c.want)
					}
				}
			})
		}
	}
	if n := testutil.ToFloat64(s.options.Metrics.handshakes.WithLabelValues(resultResumed)); n != 14 {
		t.Errorf("%v sessions resumed, want 14", n)
	}
}

func TestSuccessIsLogged(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	conn, err := s.dial(t, trusting(root))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, conn, "login")
	if err := s.result(t); err != nil || !strings.Contains(s.log.String(), "suite=TLS_AES_128_GCM_SHA256") {
		t.Errorf("%v, log: %s", err, s.log)
	}
}

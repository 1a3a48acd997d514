package tlsserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// newPKI returns a root, and a folder with a server's certificate of it.
func newPKI(t testing.TB) (root *issuer, dir string) {
	t.Helper()
	root, dir = newRoot(t, "root"), t.TempDir()
	writePair(t, dir, root.issue(t, "server", ecdsaKey()))
	return root, dir
}

// trusting is a device that trusts the root.
func trusting(root *issuer) *tls.Config {
	return &tls.Config{RootCAs: root.pool(), ServerName: "localhost"}
}

func TestDeviceThatDoesNotTrust(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			_, dir := newPKI(t)
			s := startService(t, dir)
			if _, err := s.dial(t, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost",
				MaxVersion: version}); err == nil {
				t.Fatal("the device trusts the server")
			}
			s.fails(t, ReasonUntrustedCA, "lacks our CA")
		})
	}
}

// TestAlerts sends the alerts that devices send in answer to the server's certificate.
func TestAlerts(t *testing.T) {
	for alert, want := range map[byte]Reason{
		42: ReasonUntrustedCA, 43: ReasonUntrustedCA, 46: ReasonUntrustedCA, 48: ReasonUntrustedCA, 45: ReasonExpired,
		40: ReasonNoSharedCipher, 70: ReasonUnsupportedVersion, 80: ReasonOther,
	} {
		t.Run(tls.AlertError(alert).Error(), func(t *testing.T) {
			_, dir := newPKI(t)
			s := startService(t, dir)
			conn := s.hello(t)
			conn.Write([]byte{0x15, 3, 3, 0, 2, 2, alert})
			s.fails(t, want, "")
		})
	}
}

// clientHello is what a TLS 1.2 client of crypto/tls begins with.
func clientHello(t testing.TB) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(there, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake()
	}()
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(here, head); err != nil {
		t.Fatal(err)
	}
	hello := append(head, make([]byte, int(head[3])<<8|int(head[4]))...)
	if _, err := io.ReadFull(here, hello[headerSize:]); err != nil {
		t.Fatal(err)
	}
	here.Close()
	<-done
	return hello
}

// hello connects, says hello, and waits for the server's answer.
func (s *service) hello(t testing.TB) net.Conn {
	t.Helper()
	conn := s.connect(t)
	if _, err := conn.Write(clientHello(t)); err != nil {
		t.Fatal(err)
	}
	for last := byte(0); last != 14; { // ServerHelloDone, a record of four bytes
		record := readRecord(t, conn)
		last = record[len(record)-4]
	}
	return conn
}

func readRecord(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	return body
}

func (s *service) connect(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patienceOfTests))
	return conn
}

func TestPlainDataOnTheTLSPort(t *testing.T) {
	for name, c := range map[string]struct{ data, cause string }{
		"login":     {"\x00\x0f356307042441013", "a tracker without TLS"},
		"keepalive": {"\xff", "a tracker without TLS"},
		"http":      {"GET / HTTP/1.1\r\n\r\n", "HTTP"},
		"proxy v1":  {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY"},
		"proxy v2":  {"\r\n\r\n\x00\r\nQUIT\n", "PROXY"},
		"other":     {"\x16\x7f\x7f\x00\x01x", "no sound TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := newPKI(t)
			s := startService(t, dir)
			io.WriteString(s.connect(t), c.data)
			want := ReasonPlainData
			if name == "other" {
				want = ReasonOther
			}
			s.fails(t, want, c.cause)
		})
	}
}

func TestUnsupportedVersion(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	old := trusting(root)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := s.dial(t, old); err == nil {
		t.Fatal("TLS 1.1 got in")
	}
	s.fails(t, ReasonUnsupportedVersion, "the device offers TLS 1.1, TLS 1.0, and the minimum here is TLS 1.2")
}

func TestSSL2Hello(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir)
	s.connect(t).Write([]byte("\x80\x2e\x01\x03\x01\x00\x15\x00\x00"))
	s.fails(t, ReasonUnsupportedVersion, "SSL 2")
}

func TestNoSharedCipher(t *testing.T) {
	for name, c := range map[string]struct {
		suite uint16
		cause string
	}{
		"unknown":   {tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "no suite of ours: TLS_RSA_WITH_3DES_EDE_CBC_SHA"},
		"other key": {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "only suites for RSA certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := newPKI(t)
			s := startService(t, dir)
			device := trusting(root)
			device.MaxVersion, device.CipherSuites = tls.VersionTLS12, []uint16{c.suite}
			if _, err := s.dial(t, device); err == nil {
				t.Fatal("got in")
			}
			s.fails(t, ReasonNoSharedCipher, c.cause)
		})
	}
}

func TestClientCertificateRefused(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, c := range map[string]struct {
			certificate func(*issuer) *issuer
			cause       string
		}{
			"missing": {func(*issuer) *issuer { return nil }, "has no certificate"},
			"unknown CA": {func(*issuer) *issuer { return newRoot(t, "other").issue(t, "1", ecdsaKey(), asClient) },
				"unknown authority"},
			"expired": {func(root *issuer) *issuer {
				return root.issue(t, "1", ecdsaKey(), asClient, validFor(-2*time.Hour, -time.Hour))
			}, "expired"},
			"server's": {func(root *issuer) *issuer { return root.issue(t, "1", ecdsaKey()) }, "key usage"},
		} {
			t.Run(tls.VersionName(version)+" "+name, func(t *testing.T) {
				root, dir := newPKI(t)
				s := startService(t, dir, clientAuth(ClientAuthRequire, write(t, filepath.Join(dir, "ca"), certificatePEM(root))))
				device := trusting(root)
				device.MaxVersion = version
				if own := c.certificate(root); own != nil {
					device.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						return &tls.Certificate{Certificate: [][]byte{own.certificate.Raw}, PrivateKey: own.key}, nil
					}
				}
				s.dial(t, device) // which TLS 1.3 finishes on the device's side
				s.fails(t, ReasonClientCertificate, c.cause)
			})
		}
	}
}

func TestDeviceThatCloses(t *testing.T) {
	_, dir := newPKI(t)
	t.Run("at the certificate", func(t *testing.T) {
		s := startService(t, dir)
		s.hello(t).Close()
		s.fails(t, ReasonClosed, "probably does not trust our CA")
	})
	t.Run("in the hello", func(t *testing.T) {
		s := startService(t, dir)
		conn := s.connect(t)
		conn.Write(clientHello(t)[:20])
		conn.Close()
		s.fails(t, ReasonClosed, "in the middle of its first message")
	})
	t.Run("without a word", func(t *testing.T) {
		s := startService(t, dir)
		s.connect(t).Close()
		s.fails(t, ReasonClosed, "a health check")
		if !strings.Contains(s.log.String(), "level=DEBUG") || strings.Contains(s.log.String(), "level=WARN") {
			t.Errorf("health checks make noise: %s", s.log)
		}
	})
	t.Run("by reset", func(t *testing.T) {
		s := startService(t, dir)
		conn := s.hello(t)
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
		s.fails(t, ReasonReset, "probably does not trust our CA")
	})
}

// TestDeviceThatLeavesAfterTheHandshake is how lax stacks look at a certificate: when all is done.
func TestDeviceThatLeavesAfterTheHandshake(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir)
	conn, err := s.dial(t, &tls.Config{InsecureSkipVerify: true})
	if err != nil || s.result(t) != nil {
		t.Fatal(err)
	}
	conn.Close()
	unused := s.options.Metrics.unused.WithLabelValues(string(ReasonClosed))
	testkit.Eventually(t, "counted", func() bool { return testutil.ToFloat64(unused) == 1 })
	testkit.Eventually(t, "logged", func() bool { return strings.Contains(s.log.String(), "tls connection unused") })
}

// TestAfterTheHandshake says what the first read's failures mean.
func TestAfterTheHandshake(t *testing.T) {
	for reason, err := range map[Reason]error{
		ReasonClosed: io.EOF,
		ReasonReset:  &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
		ReasonIO:     &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)},
		ReasonOther: errors.New("tls: received unexpected handshake message of type *tls.clientHelloMsg when waiting " +
			"for *tls.serverHelloMsg"),
	} {
		e := afterHandshake(err)
		if blamed := strings.Contains(e.Cause, "does not trust"); e.Reason != reason ||
			blamed != (reason == ReasonClosed || reason == ReasonReset) {
			t.Errorf("%v: %s, %q", err, e.Reason, e.Cause)
		}
	}
}

// TestQuiet: what a balancer does to see whether the server is there is neither counted as a failure nor loud.
func TestQuiet(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir, func(s *service, _ *Options) { s.quiet = true })
	conn, err := s.dial(t, trusting(root))
	if err != nil || s.result(t) != nil {
		t.Fatal(err)
	}
	conn.Close()
	testkit.Eventually(t, "logged", func() bool { return strings.Contains(s.log.String(), "tls connection unused") })
	s.hello(t).Close()
	if s.result(t) == nil {
		t.Error("no failure")
	}
	for _, counted := range []*prometheus.CounterVec{s.options.Metrics.unused, s.options.Metrics.handshakes} {
		if n := testutil.ToFloat64(counted.WithLabelValues(string(ReasonClosed))); n != 0 {
			t.Errorf("%v counted", n)
		}
	}
	if strings.Contains(s.log.String(), "level=WARN") {
		t.Errorf("noise: %s", s.log)
	}
}

func TestDeviceThatIsSilent(t *testing.T) {
	_, dir := newPKI(t)
	for name, c := range map[string]struct {
		begin func(*service)
		cause string
	}{
		"from the start": {func(s *service) { s.connect(t) }, "sent nothing"},
		"after one byte": {func(s *service) {
			s.connect(t).Write(clientHello(t)[:1])
		}, "first message did not come to its end in time"},
		"in the hello": {func(s *service) {
			s.connect(t).Write(clientHello(t)[:30])
		}, "first message did not come to its end in time"},
		"at the certificate": {func(s *service) { s.hello(t) }, "not done in time when it had seen our certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startService(t, dir, timeout(300*time.Millisecond))
			c.begin(s)
			s.fails(t, ReasonTimeout, c.cause)
			if strings.Contains(s.log.String(), "trust") || strings.Contains(s.log.String(), "left") {
				t.Errorf("called something else than it is: %s", s.log)
			}
		})
	}
}

func TestServerThatStops(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir)
	s.hello(t)
	s.stop()
	s.fails(t, ReasonShutdown, "stopping")
	if strings.Contains(s.log.String(), "level=WARN") {
		t.Errorf("a stop makes noise: %s", s.log)
	}
}

// brokenConn fails in a way that no peer causes.
type brokenConn struct{ net.Conn }

func (brokenConn) Read([]byte) (int, error)    { return 0, &net.OpError{Op: "read", Err: os.ErrInvalid} }
func (brokenConn) RemoteAddr() net.Addr        { return &net.TCPAddr{} }
func (brokenConn) SetDeadline(time.Time) error { return nil }

func TestSocketThatBreaks(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir)
	var e *HandshakeError
	if err := s.Wrap(brokenConn{}).Handshake(t.Context()); !errors.As(err, &e) || e.Reason != ReasonIO {
		t.Errorf("handshake ended with %v", err)
	}
}

func TestGarbledHandshake(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir)
	hello := clientHello(t)
	for i := 11; i < len(hello); i++ {
		hello[i] ^= 0x55
	}
	s.connect(t).Write(hello)
	s.fails(t, ReasonOther, "no sound TLS hello")
}

// TestNoPlaceToCompute has all places of the semaphore taken.
func TestNoPlaceToCompute(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir, timeout(400*time.Millisecond), func(_ *service, o *Options) { o.Handshakes = 1 })
	if err := s.semaphore.enter(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	defer s.semaphore.leave()
	s.connect(t).Write(clientHello(t))
	s.fails(t, ReasonBusy, "more handshakes")
}

package tlsserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// serial is the serial number of the certificate that new connections get.
func (s *service) serial(t testing.TB) string {
	t.Helper()
	conn, err := s.dial(t, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestRotationUnderLoad renews the certificate once a day for a year, while devices talk and come anew.
func TestRotationUnderLoad(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	var stop atomic.Bool
	var all sync.WaitGroup
	var messages, sessions atomic.Int64
	for range 8 { // that stay
		conn, err := s.dial(t, trusting(root))
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for i := 0; !stop.Load(); i++ {
				conn.SetDeadline(time.Now().Add(patienceOfTests))
				if err := exchange(conn, fmt.Sprint("frame ", i)); err != nil {
					t.Errorf("a connection that is held: %v", err)
					return
				}
				messages.Add(1)
			}
		})
	}
	for range 2 { // that come and go
		all.Go(func() {
			for !stop.Load() {
				conn, err := tls.Dial("tcp", s.address, trusting(root))
				if err == nil {
					err = exchange(conn, "login")
					conn.Close()
				}
				if err != nil {
					t.Errorf("a new connection: %v", err)
					return
				}
				sessions.Add(1)
			}
		})
	}
	for day := range 365 {
		writePair(t, dir, root.issue(t, fmt.Sprint("day ", day), ecdsaKey()))
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "the devices are at work", func() bool {
		return messages.Load() > 1000 && sessions.Load() > 20 || t.Failed()
	})
	stop.Store(true)
	all.Wait()
}

func TestSessionsOutliveReloads(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		root, dir := newPKI(t)
		s := startService(t, dir)
		device := trusting(root)
		device.MaxVersion, device.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
		for i := range 3 {
			conn, err := s.dial(t, device)
			if err != nil {
				t.Fatal(err)
			}
			echo(t, conn, "login") // TLS 1.3 brings the ticket with the first answer
			if resumed := conn.ConnectionState().DidResume; resumed != (i > 0) {
				t.Errorf("%s, connection %d: resumed %v", tls.VersionName(version), i, resumed)
			}
			writePair(t, dir, root.issue(t, fmt.Sprint("server ", i), ecdsaKey()))
			if err := s.Reload(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReloadOfTheClientCA takes a CA away: not even a session of one of its devices may be resumed.
func TestReloadOfTheClientCA(t *testing.T) {
	root, dir := newPKI(t)
	ca := write(t, filepath.Join(dir, "ca"), certificatePEM(root))
	s := startService(t, dir, clientAuth(ClientAuthRequire, ca))
	own := root.issue(t, "356307042441013", ecdsaKey(), asClient)
	device := trusting(root)
	device.MaxVersion, device.ClientSessionCache = tls.VersionTLS12, tls.NewLRUClientSessionCache(1)
	device.Certificates = []tls.Certificate{{Certificate: [][]byte{own.certificate.Raw}, PrivateKey: own.key}}
	if _, err := s.dial(t, device); err != nil || s.result(t) != nil {
		t.Fatal(err)
	}
	write(t, ca, certificatePEM(newRoot(t, "root"))) // which the device takes for the one that it has a certificate of
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dial(t, device); err == nil {
		t.Error("a device of a CA that is not trusted any more got in")
	}
	s.fails(t, ReasonClientCertificate, "unknown authority")
}

// badFiles are pairs that cannot be used, and what the error says.
func badFiles(t *testing.T, root *issuer) map[string]struct {
	cert, key []byte
	want      string
} {
	middle := root.issue(t, "middle", ecdsaKey(), asCA)
	leaf := middle.issue(t, "leaf", ecdsaKey())
	other := root.issue(t, "other", ecdsaKey())
	encrypted := []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	forged := newRoot(t, "middle") // the same name and another key
	return map[string]struct {
		cert, key []byte
		want      string
	}{
		"empty":   {nil, leaf.keyPEM(t), "tls.crt: is empty"},
		"not PEM": {[]byte("hello"), leaf.keyPEM(t), "tls.crt: is not PEM"},
		"cut":     {certificatePEM(leaf)[:200], leaf.keyPEM(t), "tls.crt: is not PEM"},
		"DER":     {leaf.certificate.Raw, leaf.keyPEM(t), "openssl x509 -inform der"},
		"swapped": {leaf.keyPEM(t), certificatePEM(leaf), "are the two files swapped?"},
		"other key": {certificatePEM(leaf, middle), other.keyPEM(t),
			"tls.key: the key does not belong to the certificate in"},
		"encrypted key":    {certificatePEM(leaf, middle), encrypted, "tls.key: the key is encrypted"},
		"issuer first":     {certificatePEM(middle, leaf), leaf.keyPEM(t), "the key belongs to certificate 2"},
		"chain disordered": {certificatePEM(leaf, root, middle), leaf.keyPEM(t), "is not right behind it"},
		"chain with a gap": {certificatePEM(leaf, other), leaf.keyPEM(t), "which is not its issuer"},
		"forged issuer":    {certificatePEM(leaf, forged), leaf.keyPEM(t), "is not signed by"},
		"client's":         {certificatePEM(root.issue(t, "c", leaf.key, asClient)), leaf.keyPEM(t), "lacks serverAuth"},
		"expired": {certificatePEM(root.issue(t, "old", leaf.key, validFor(-2*time.Hour, -time.Hour))), leaf.keyPEM(t),
			"and the certificate in use has not"},
		"not yet valid": {certificatePEM(root.issue(t, "new", leaf.key, validFor(time.Hour, 1e5*time.Hour))), leaf.keyPEM(t),
			"not valid before"},
	}
}

func TestBadFiles(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	serial := s.serial(t)
	failed := s.options.Metrics.reloads.WithLabelValues("failed")
	for name, bad := range badFiles(t, root) {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(dir, "tls.crt"), bad.cert)
			write(t, filepath.Join(dir, "tls.key"), bad.key)
			before := testutil.ToFloat64(failed)
			if err := s.Reload(); err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Errorf("error %v, want %q in it", err, bad.want)
			}
			if testutil.ToFloat64(failed) != before+1 {
				t.Error("not counted")
			}
			if s.serial(t) != serial {
				t.Error("the certificate in use is another")
			}
			_, err := New(s.options)
			if dates := name == "expired" || name == "not yet valid"; dates != (err == nil) {
				t.Errorf("at the start: %v", err)
			}
		})
	}
	os.Remove(filepath.Join(dir, "tls.crt"))
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("file missing: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	root, dir := newPKI(t)
	ca := write(t, filepath.Join(dir, "ca"), certificatePEM(root))
	for want, change := range map[string]func(*Options){
		"both a certificate file":     func(o *Options) { o.KeyFile = "" },
		"is none, optional":           func(o *Options) { o.ClientAuth = "maybe" },
		"needs a file with the CA":    func(o *Options) { o.ClientAuth = ClientAuthRequire },
		"has no effect":               func(o *Options) { o.ClientCAFile = ca },
		"needs client authentication": func(o *Options) { o.BindIMEI = true },
		"the minimum TLS version":     func(o *Options) { o.MinVersion = 0x300 },
		"holds a private key and no":  func(o *Options) { o.ClientAuth, o.ClientCAFile = ClientAuthRequire, o.KeyFile },
	} {
		o := Options{CertFile: dir + "/tls.crt", KeyFile: dir + "/tls.key", Metrics: newTestMetrics(), Logger: discard}
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestExpiryIsThatOfTheEarliest(t *testing.T) {
	root, dir := newPKI(t)
	middle := root.issue(t, "middle", ecdsaKey(), asCA, validFor(-time.Hour, 10*24*time.Hour))
	writePair(t, dir, middle.issue(t, "leaf", ecdsaKey()), middle)
	s := startService(t, dir)
	if days := s.options.Metrics.left().Hours() / 24; days < 9.9 || days > 10 {
		t.Errorf("%v days left, want those of the issuer", days)
	}
	writePair(t, dir, root.issue(t, "leaf", ecdsaKey(), validFor(-time.Hour, 90*24*time.Hour)))
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if days := s.options.Metrics.left().Hours() / 24; days < 89.9 || days > 90 ||
		!s.current.Load().notAfter.Equal(s.current.Load().leaf.NotAfter) {
		t.Errorf("%v days left after the reload", days)
	}
}

// watching watches the files every few milliseconds until the test ends.
func (s *service) watching(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watch(ctx, 10*time.Millisecond)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// becomes waits until new connections get the certificate.
func (s *service) becomes(t *testing.T, c *x509.Certificate) {
	t.Helper()
	testkit.Eventually(t, "the new certificate is in use", func() bool { return s.current.Load().leaf.Equal(c) })
}

func TestWatchOfFilesWrittenInPlace(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	s.watching(t)
	next := root.issue(t, "next", ecdsaKey())
	os.WriteFile(filepath.Join(dir, "tls.crt"), certificatePEM(next), 0o600)
	testkit.Eventually(t, "the half of the pair is refused", func() bool {
		return strings.Contains(s.log.String(), "the one in use stays")
	})
	os.WriteFile(filepath.Join(dir, "tls.key"), next.keyPEM(t), 0o600)
	s.becomes(t, next.certificate)
	if n := strings.Count(s.log.String(), "the one in use stays"); n != 1 {
		t.Errorf("the refusal was logged %d times", n)
	}
}

// TestWatchOfLinks switches links as Kubernetes does for a secret.
func TestWatchOfLinks(t *testing.T) {
	root, dir := newRoot(t, "root"), t.TempDir()
	version := func(name string) *issuer {
		c := root.issue(t, name, ecdsaKey())
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		writePair(t, filepath.Join(dir, name), c)
		os.Symlink(name, filepath.Join(dir, "next"))
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		return c
	}
	version("first")
	os.Symlink("..data/tls.crt", filepath.Join(dir, "tls.crt"))
	os.Symlink("..data/tls.key", filepath.Join(dir, "tls.key"))
	s := startService(t, dir)
	s.watching(t)
	s.becomes(t, version("second").certificate)
	s.becomes(t, version("third").certificate)
}

func TestWatchOfFilesThatAreGone(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	s.watching(t)
	os.Remove(filepath.Join(dir, "tls.crt"))
	testkit.Eventually(t, "the loss is logged", func() bool { return strings.Contains(s.log.String(), "no such file") })
	s.serial(t) // serves on
	next := root.issue(t, "next", ecdsaKey())
	writePair(t, dir, next)
	s.becomes(t, next.certificate)
}

// TestWatchOfACertificateForLater writes one of a CA whose clock is ahead.
func TestWatchOfACertificateForLater(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	s.watching(t)
	next := root.issue(t, "next", ecdsaKey(), validFor(3*time.Second, 24*time.Hour))
	writePair(t, dir, next)
	testkit.Eventually(t, "it is refused", func() bool { return strings.Contains(s.log.String(), "not valid before") })
	s.becomes(t, next.certificate)
}

func TestNoDeviceNeedsANameOrALPN(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir)
	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"mqtt"},
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: root.pool()})
			return err
		}})
	defer conn.Close()
	echo(t, conn, "login")
}

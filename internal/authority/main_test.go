package authority

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// The certificate of a test's Redis, for 127.0.0.1, and its key. This process trusts it as an operator would do it,
// by SSL_CERT_FILE, which is read once.
var certFile, keyFile string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "authority")
	if err == nil {
		err = writeCertificate(dir)
	}
	if err == nil {
		err = os.Setenv("SSL_CERT_FILE", certFile)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(testkit.AfterDials(m), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// writeCertificate takes the certificate that the standard library has for tests.
func writeCertificate(dir string) error {
	server := httptest.NewTLSServer(nil)
	server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	if err := os.WriteFile(certFile, cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
}

// imei is the n-th of a fleet's.
func imei(n int) string { return fmt.Sprintf("%015d", 356307042000000+n) }

// setOf is a set as a source would build it.
func setOf(ids ...string) *set {
	var b builder
	for _, id := range ids {
		if err := add(&b, id); err != nil {
			panic(err)
		}
	}
	return b.build()
}

// subject is a list, what it logs and what it counts.
type subject struct {
	testing.TB
	*List
	log *testkit.Log
}

func newSubject(t testing.TB, source Source, change func(*Options)) *subject {
	s := &subject{TB: t, log: testkit.NewLog(t)}
	o := Options{
		Source: source, Refresh: 20 * time.Millisecond, Metrics: NewMetrics(prometheus.NewRegistry()),
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	s.List = NewList(o)
	return s
}

func strict(o *Options) { o.Strict = true }

// start starts the list, which must work, and runs it until the test ends.
func (s *subject) start() {
	s.Helper()
	ctx, stop := context.WithCancel(context.Background())
	if err := s.Start(ctx); err != nil {
		s.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	s.Cleanup(func() {
		stop()
		<-done
	})
}

// refreshes is how many readings have had the result.
func (s *subject) refreshes(result string) int {
	return int(testutil.ToFloat64(s.Metrics.refreshes.WithLabelValues(result)))
}

// another waits for one more reading with the result, begun after the call.
func (s *subject) another(result string) {
	s.Helper()
	before := s.refreshes(result)
	testkit.Eventually(s, "another two readings: "+result, func() bool { return s.refreshes(result) >= before+2 })
}

func (s *subject) wantKnown(known bool, ids ...string) {
	s.Helper()
	for _, id := range ids {
		if s.Known(id) != known {
			s.Errorf("Known(%s) is %v", id, !known)
		}
	}
}

func (s *subject) wantLogged(parts ...string) {
	s.Helper()
	for _, part := range parts {
		if !strings.Contains(s.log.String(), part) {
			s.Errorf("not logged: %s; but:\n%s", part, s.log)
		}
	}
}

package simulate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// newAuthority makes a CA's certificate that also is a server's and a client's, and the pool that trusts it.
func newAuthority(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "trackers.example"},
		DNSNames:    []string{"trackers.example"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour),
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// listenTLS starts the server on TLS.
func (s *server) listenTLS(config *tls.Config) (address string) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		s.tb.Fatal(err)
	}
	return s.listenOn(listener)
}

// smallTLS are the options of a fleet that trusts the pool and does not wait.
func smallTLS(address string, devices int, records int64, pool *x509.CertPool) Options {
	o := small(address, devices, records)
	o.Transport, o.TLS = TLS, &tls.Config{RootCAs: pool}
	return o
}

// TestTLS has devices that come and go, with a session that they resume or with none.
func TestTLS(t *testing.T) {
	certificate, pool := newAuthority(t)
	for name, c := range map[string]struct {
		change  func(c *tls.Config)
		resumed bool
		version uint16
	}{
		"1.3":              {func(*tls.Config) {}, true, tls.VersionTLS13},
		"1.2":              {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true, tls.VersionTLS12},
		"full handshakes":  {func(c *tls.Config) { c.SessionTicketsDisabled = true }, false, tls.VersionTLS13},
		"by another name":  {func(c *tls.Config) { c.ServerName = "trackers.example" }, true, tls.VersionTLS13},
		"trusting anybody": {func(c *tls.Config) { c.RootCAs, c.InsecureSkipVerify = nil, true }, true, tls.VersionTLS13},
		"certificate":      {func(c *tls.Config) { c.Certificates = []tls.Certificate{certificate} }, true, tls.VersionTLS13},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{tb: t}
			var full, resumed, wrong atomic.Int64
			server := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pool,
				ClientAuth: tls.VerifyClientCertIfGiven}
			server.VerifyConnection = func(state tls.ConnectionState) error {
				if state.Version != c.version || (len(state.PeerCertificates) > 0) != (name == "certificate") {
					wrong.Add(1)
				}
				if state.DidResume {
					resumed.Add(1)
				} else {
					full.Add(1)
				}
				return nil
			}
			o := smallTLS(s.listenTLS(server), 10, 1500, pool)
			o.Reconnect, o.LoseACK = 0.1, 0.05
			c.change(o.TLS)
			l := run(t, o)
			s.close()
			if !l.OK() || l.RecordsAcknowledged != 1500 || len(s.ids()) != 1500 || l.HandshakeFailures != 0 ||
				l.ConnectFailures != 0 {
				t.Errorf("%d records arrived, ledger: %+v", len(s.ids()), l)
			}
			if c.resumed && (full.Load() != 10 || resumed.Load() < 10) || !c.resumed && resumed.Load() > 0 {
				t.Errorf("%d full handshakes and %d resumed of %d connections", full.Load(), resumed.Load(), l.Connections)
			}
			if wrong.Load() > 0 {
				t.Errorf("%d connections had the wrong version or certificate", wrong.Load())
			}
		})
	}
}

// TestHandshakeFailures expects them to be counted as what they are, and named.
func TestHandshakeFailures(t *testing.T) {
	certificate, pool := newAuthority(t)
	_, strangers := newAuthority(t)
	for name, c := range map[string]struct {
		client func(c *tls.Config)
		server func(c *tls.Config)
		says   string
	}{
		"unknown CA": {func(c *tls.Config) { c.RootCAs = strangers }, nil,
			"x509: certificate signed by unknown authority"},
		"wrong name": {func(c *tls.Config) { c.ServerName = "other.example" }, nil, "other.example"},
		"old version": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, "protocol version"},
		"no certificate 1.2": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, "remote error"},
		"no certificate 1.3": {nil, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, "certificate required"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{tb: t}
			server := &tls.Config{Certificates: []tls.Certificate{certificate}}
			if c.server != nil {
				c.server(server)
			}
			o := smallTLS(s.listenTLS(server), 1, 10, pool)
			if c.client != nil {
				c.client(o.TLS)
			}
			o.Duration = 100 * time.Millisecond
			l := run(t, o)
			s.close()
			if l.HandshakeFailures == 0 || l.ConnectFailures > 0 || l.Connections > 0 || l.OK() {
				t.Errorf("ledger: %+v", l)
			}
			if strings.Count(l.LastFailure, "TLS handshake: ") != 1 || !strings.Contains(l.LastFailure, c.says) {
				t.Errorf("last failure is %q, expected %q", l.LastFailure, c.says)
			}
		})
	}
}

// TestPlainServer has TLS devices come to a server of plain TCP, and none at all.
func TestPlainServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{tb: t, stop: listener}
	s.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1))
			conn.Close()
		}
	})
	o := smallTLS(listener.Addr().String(), 1, 10, nil)
	o.Duration = 50 * time.Millisecond
	if l := run(t, o); l.HandshakeFailures == 0 || !strings.HasPrefix(l.LastFailure, "TLS handshake: ") {
		t.Errorf("ledger: %+v", l)
	}
	s.close()
	if l := run(t, o); l.HandshakeFailures != 0 || l.ConnectFailures == 0 {
		t.Errorf("ledger: %+v", l)
	}
}

// TestCommandsOverTLS commands a fleet with every ACK, and lets it idle beside keep-alives.
func TestCommandsOverTLS(t *testing.T) {
	certificate, pool := newAuthority(t)
	s := &server{tb: t, commands: make(map[string][]string)}
	o := smallTLS(s.listenTLS(&tls.Config{Certificates: []tls.Certificate{certificate}}), 20, 0, pool)
	o.Rate, o.Duration, o.KeepAlive, o.CommandLatency = 400, 2*time.Second, 20*time.Millisecond,
		DurationRange{Max: time.Millisecond}
	o.Reconnect = 0.1
	s.answer = func(a arrival) answer {
		return answer{bytes: slices.Concat(teltonika.AppendAck(nil, len(a.records)), commandFrame("", "getparam 9"))}
	}
	l := run(t, o)
	s.close()
	if !l.OK() || l.RecordsAcknowledged < 400 || int64(len(s.ids())) != l.RecordsSent || l.CommandsAnswered < 50 ||
		l.KeepAlives < 20 {
		t.Errorf("%d records arrived, ledger: %+v", len(s.ids()), l)
	}
	answers := int64(0)
	for _, texts := range s.commands {
		answers += int64(len(texts))
	}
	if answers > l.CommandsAnswered || answers < l.CommandsAnswered-l.Connections {
		t.Errorf("%d answers were sent and %d arrived", l.CommandsAnswered, answers)
	}
}

package main

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
)

// comingFrom is a connection with an address.
type comingFrom struct {
	net.Conn
	net.TCPAddr
}

func (c *comingFrom) RemoteAddr() net.Addr { return &c.TCPAddr }

// TestHeaderAndHandshakeTogether: a slow balancer and a slow device have the handshake timeout together, and it is
// called that.
func TestHeaderAndHandshakeTogether(t *testing.T) {
	ca := newCertificateAuthority(t)
	ca.renew(90)
	synctest.Test(t, func(t *testing.T) {
		c := &config.Config{
			TLSPort: 0, TLSCertFile: ca.path("server.crt"), TLSKeyFile: ca.path("server.key"),
			TLSClientAuth: config.ClientAuthNone,
			TLSMinVersion: "1.2", ProxyProtocolFrom: "10.0.0.0/8", HandshakeTimeout: 30 * time.Second,
		}
		registry, logger := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
		balancers, balancersErr := newBalancers(c, registry, logger)
		secure, tlsErr := newTLS(c, registry, logger)
		if err := errors.Join(balancersErr, tlsErr); err != nil {
			t.Fatal(err)
		}
		device, ours := net.Pipe()
		defer device.Close()
		go func() {
			time.Sleep(20 * time.Second) // of the bubble's time
			device.Write(proxyV1("203.0.113.9"))
			device.Write([]byte{0x16, 3, 1})
		}()
		start := time.Now()
		ours.SetDeadline(start.Add(c.HandshakeTimeout + transport.Margin)) // as the server does
		var admitted net.Addr
		admit := func(client net.Addr) error { admitted = client; return nil }
		_, err := (&transport.Front{Balancers: balancers, TLS: secure, Timeout: c.HandshakeTimeout}).Open(t.Context(),
			&comingFrom{ours, net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}}, admit)
		var failed *tlsserver.HandshakeError
		if !errors.As(err, &failed) || failed.Reason != tlsserver.ReasonTimeout {
			t.Errorf("%v, want %s", err, tlsserver.ReasonTimeout)
		}
		if took := time.Since(start); took != c.HandshakeTimeout {
			t.Errorf("given up after %v", took)
		}
		if admitted == nil || admitted.String() != "203.0.113.9:40000" {
			t.Errorf("asked whether %v may connect", admitted)
		}
	})
}

// TestStopDuringHandshakes: a stop does not wait for those who have not come in yet.
func TestStopDuringHandshakes(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "TLS_DETECT", "true", "PROXY_PROTOCOL_FROM",
		"127.0.0.1"))
	secure := s.address("devices-tls")
	var waiting []*testkit.Tracker
	for _, address := range []string{s.devices, secure} {
		for _, first := range [][]byte{nil, []byte("PROXY TCP4 "), proxyV1("203.0.113.9"),
			append(proxyV1("203.0.113.9"), 0x16, 3, 1)} {
			device := testkit.Dial(t, address)
			device.Send(first)
			waiting = append(waiting, device)
		}
	}
	testkit.Eventually(t, "all are there", func() bool {
		return s.metric("teltonika_connections_active") == float64(len(waiting))
	})
	if code := s.stop(syscall.SIGTERM, 8*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, device := range waiting {
		device.ExpectClosed()
	}
	if s.logged("tls handshake failed") || s.logged("proxy header refused") {
		t.Errorf("the stop is blamed on devices: %v", s.loud())
	}
}

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/listen"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
)

// What listeners are for: in the log, and the names of the sockets that the service manager may hand over.
const (
	forDevices = "devices"
	forTLS     = "devices-tls"
	forUDP     = "devices-udp"
	forHTTP    = "http"
	forAdmin   = "admin"
)

// newSockets takes what the service manager hands over, before anything else is opened.
func newSockets(c *config.Config) (*listen.Set, error) {
	return listen.New(listen.Options{Names: []string{forDevices, forTLS, forUDP, forHTTP, forAdmin}})
}

var tlsVersions = map[string]uint16{
	"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
}

// newBalancers reads whose headers are believed.
func newBalancers(c *config.Config, r prometheus.Registerer, logger *slog.Logger) (*transport.Balancers, error) {
	b, err := transport.NewBalancers(c.ProxyProtocolFrom, r, logger)
	if err != nil {
		return nil, invalid("PROXY_PROTOCOL_FROM", err)
	}
	return b, nil
}

// newTLS loads the certificates, if any port takes TLS.
func newTLS(c *config.Config, r prometheus.Registerer, logger *slog.Logger) (*tlsserver.Server, error) {
	if !c.TLS() {
		return nil, nil
	}
	s, err := tlsserver.New(tlsserver.Options{
		CertFile: c.TLSCertFile, KeyFile: c.TLSKeyFile, ClientCAFile: c.TLSClientCAFile,
		ClientAuth: tlsserver.ClientAuth(c.TLSClientAuth), MinVersion: tlsVersions[c.TLSMinVersion], BindIMEI: c.TLSBindIMEI,
		Metrics: tlsserver.NewMetrics(r), Logger: logger,
	})
	if err != nil {
		return nil, invalidTLS(err)
	}
	return s, nil
}

// invalidTLS names the setting of each file that is wrong.
func invalidTLS(err error) error {
	settings := map[tlsserver.File]string{
		tlsserver.FileCertificate: "TLS_CERT_FILE", tlsserver.FileKey: "TLS_KEY_FILE",
		tlsserver.FileClientCA: "TLS_CLIENT_CA_FILE",
	}
	wrong := &config.Error{}
	for _, e := range tlsserver.FileErrors(err) {
		wrong.Problems = append(wrong.Problems, config.Problem{
			Setting: settings[e.File], Text: fileProblem(e, "a PEM file"),
		})
	}
	if len(wrong.Problems) == 0 {
		return invalid("TLS_CERT_FILE", err)
	}
	return wrong
}

// startTLS keeps the certificates fresh until watch ends.
func (s *service) startTLS(watch context.Context) {
	if s.tls == nil {
		return
	}
	s.onReload("TLS_CERT_FILE", func() error {
		err := s.tls.Reload()
		if err != nil {
			s.logger.Error("tls certificate not reloaded", "error", err)
		}
		return err
	})
	s.background(func() { s.tls.Watch(watch) })
}

// listenForDevices opens the devices' ports and serves them, all or none.
func (s *service) listenForDevices(ctx context.Context) (err error) {
	hosts, err := listen.ParseHosts(s.config.BindAddress)
	if err != nil {
		return invalid("BIND_ADDRESS", err)
	}
	var plain, secure []net.Listener
	var datagrams []*net.UDPConn
	defer func() {
		if err != nil {
			closeAll(plain)
			closeAll(secure)
			closeAll(datagrams)
		}
	}()
	if s.config.TeltonikaPort >= 0 {
		if plain, err = s.sockets.TCP(ctx, forDevices, hosts, s.config.TeltonikaPort); err != nil {
			return fmt.Errorf("BIND_ADDRESS or TELTONIKA_PORT: %w", err)
		}
	}
	if s.config.TLSPort >= 0 {
		if secure, err = s.sockets.TCP(ctx, forTLS, hosts, s.config.TLSPort); err != nil {
			return fmt.Errorf("BIND_ADDRESS or TLS_PORT: %w", err)
		}
	}
	if s.packets != nil {
		if datagrams, err = s.sockets.UDP(ctx, forUDP, hosts, s.config.UDPPort); err != nil {
			return fmt.Errorf("BIND_ADDRESS or UDP_PORT: %w", err)
		}
	}
	if err = s.sockets.Unused(); err != nil {
		return invalid("LISTEN_FDNAMES", err)
	}
	s.serveDevices(plain, forDevices, s.plainFront())
	s.serveDevices(secure, forTLS, s.front(s.tls, false))
	if len(datagrams) > 0 && !s.config.StrictDeviceAuth {
		s.logger.Warn("udp without strict device auth, anybody can store records")
	}
	for _, c := range datagrams {
		s.packets.Serve(c)
		if s.devicesAddress == nil {
			s.devicesAddress = c.LocalAddr()
		}
		s.logger.Info("listening", "for", forUDP, "address", c.LocalAddr().String())
	}
	return nil
}

func closeAll[S io.Closer](sockets []S) {
	for _, socket := range sockets {
		socket.Close()
	}
}

// newPacketServer makes what takes datagrams, if UDP_PORT is set.
func (s *service) newPacketServer(r prometheus.Registerer) *ingest.PacketServer {
	if s.config.UDPPort < 0 {
		return nil
	}
	return ingest.NewPacketServer(ingest.PacketOptions{
		Adapter: s.sessions, MaxBytes: s.config.MaxFrameBytes,
		Metrics: ingest.NewPacketMetrics(prometheus.WrapRegistererWithPrefix("teltonika_", r)), Logger: s.logger,
	})
}

// plainFront is what stands before the protocol on the plain port: nothing, if nothing is configured.
func (s *service) plainFront() ingest.Transport {
	switch {
	case s.config.TLSDetect:
		return s.front(s.tls, true)
	case !s.balancers.None():
		return s.front(nil, false)
	}
	return nil
}

func (s *service) front(secure *tlsserver.Server, detect bool) *transport.Front {
	return &transport.Front{Balancers: s.balancers, TLS: secure, Detect: detect, Timeout: s.config.HandshakeTimeout,
		Strangers: s.strangers.Ring}
}

func (s *service) serveDevices(listeners []net.Listener, what string, via ingest.Transport) {
	for _, l := range listeners {
		s.server.Serve(l, via)
		if s.devicesAddress == nil {
			s.devicesAddress = l.Addr()
		}
		s.logger.Info("listening", "for", what, "address", l.Addr().String(), "max_connections", maxConnections(s.config))
	}
}

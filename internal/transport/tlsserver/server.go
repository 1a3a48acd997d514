// Package tlsserver is TLS for devices: it makes a device's socket a connection that is TLS, or that is whichever of
// TLS and plain the device begins to speak; renews certificates without closing a connection; and says in a closed
// set of reasons, with the likely cause, why a device could not get in. Check looks at a server from the outside.
//
// The devices are the modems' TLS stacks: TLS 1.2, often without server name, ALPN or AEAD suites. What is said inside
// is the same as on a plain connection.
package tlsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ClientAuth says whether devices have to show a certificate.
type ClientAuth string

// A certificate that is shown is always verified. Devices without one get in unless it is required.
const (
	ClientAuthNone     ClientAuth = "none"
	ClientAuthOptional ClientAuth = "optional"
	ClientAuthRequire  ClientAuth = "require"
)

var clientAuthTypes = map[ClientAuth]tls.ClientAuthType{
	ClientAuthNone:     tls.NoClientCert,
	ClientAuthOptional: tls.VerifyClientCertIfGiven,
	ClientAuthRequire:  tls.RequireAndVerifyClientCert,
}

// Options are the settings. The fields without a remark are needed.
type Options struct {
	CertFile, KeyFile string     // PEM: the server's certificate and then its issuers in order; its key without passphrase
	ClientCAFile      string     // PEM: who issues the devices' certificates; needed unless ClientAuth is none
	ClientAuth        ClientAuth // empty is none
	MinVersion        uint16     // tls.VersionTLS10 to tls.VersionTLS13; 0 is 1.2
	BindIMEI          bool       // a device's certificate must name its IMEI; see Conn.VerifyIMEI
	Handshakes        int        // that may compute at the same time; 0 is half of the processors
	Metrics           *Metrics
	Logger            *slog.Logger
}

// Server makes connections of sockets.
type Server struct {
	options   Options
	config    *tls.Config // the same for good, for its session ticket keys outlive the certificates
	semaphore *semaphore
	current   atomic.Pointer[credentials]
	reload    sync.Mutex
}

// New loads the certificates. Its error names the file and what is wrong with it. A certificate that has expired, or is
// not valid yet, is used and logged as an error: many devices do not look at the dates, and a restart must
// not shut out those that get in.
func New(o Options) (*Server, error) {
	if o.MinVersion == 0 {
		o.MinVersion = tls.VersionTLS12
	}
	if o.ClientAuth == "" {
		o.ClientAuth = ClientAuthNone
	}
	if o.Handshakes == 0 {
		o.Handshakes = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{options: o, semaphore: newSemaphore(o.Handshakes, o.Metrics.waiting)}
	s.config = &tls.Config{GetConfigForClient: s.configFor}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

func (o *Options) validate() error {
	_, known := clientAuthTypes[o.ClientAuth]
	switch {
	case o.CertFile == "" || o.KeyFile == "":
		return errors.New("TLS needs both a certificate file and a key file")
	case !known:
		return fmt.Errorf("client authentication is none, optional or require, not %q", o.ClientAuth)
	case o.ClientAuth != ClientAuthNone && o.ClientCAFile == "":
		return fmt.Errorf("client authentication %q needs a file with the CA of the devices' certificates", o.ClientAuth)
	case o.ClientAuth == ClientAuthNone && o.ClientCAFile != "":
		return errors.New("a client CA file has no effect while client authentication is none: make it optional or require")
	case o.BindIMEI && o.ClientAuth == ClientAuthNone:
		return errors.New("binding certificates to IMEIs needs client authentication: make it optional or require")
	case o.MinVersion < tls.VersionTLS10 || o.MinVersion > tls.VersionTLS13:
		return fmt.Errorf("the minimum TLS version is 1.0, 1.1, 1.2 or 1.3, not %#04x", o.MinVersion)
	}
	return nil
}

// configFor gives a handshake the certificate of the moment. What the device offered is kept until the
// handshake's end, to say what was wrong with it.
func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if r, ok := hello.Conn.(*records); ok && r.attempt != nil {
		r.attempt.hello = &offer{versions: hello.SupportedVersions, suites: hello.CipherSuites}
	}
	return s.current.Load().configFor(hello), nil
}

// Wrap makes a TLS connection of a socket. Nothing is read or written before Conn.Handshake.
func (s *Server) Wrap(raw net.Conn) *Conn { return s.conn(raw, false) }

// Detect makes a connection of a socket that will be TLS if the device begins with a TLS handshake, and plain
// otherwise. Nothing is read or written before Conn.Handshake.
func (s *Server) Detect(raw net.Conn) *Conn { return s.conn(raw, true) }

func (s *Server) conn(raw net.Conn, detect bool) *Conn {
	return &Conn{Conn: raw, server: s, detect: detect, records: records{Conn: raw}}
}

// Reload reads the files again; connections stay as they are, and sessions begun before can be resumed. If anything is
// wrong with the files, what was in use stays in use and the error says why.
func (s *Server) Reload() error {
	s.reload.Lock()
	defer s.reload.Unlock()
	next, problems, err := s.options.load()
	if err == nil {
		err = s.better(next)
	}
	s.options.Metrics.reloaded(err == nil)
	if err != nil {
		return err
	}
	s.current.Store(next)
	s.options.Metrics.notAfter.Store(next.notAfter.Unix())
	s.logLoaded(next, problems)
	return nil
}

func (s *Server) logLoaded(cr *credentials, problems []Problem) {
	for _, p := range problems {
		level := slog.LevelWarn
		if p.Severity == Error {
			level = slog.LevelError
		}
		s.options.Logger.Log(context.Background(), level, "tls certificate has a problem",
			"file", s.options.CertFile, "problem", p.What, "remedy", p.Remedy)
	}
	s.options.Logger.Info("tls certificate loaded", "file", s.options.CertFile, "subject", cr.leaf.Subject.String(),
		"serial", cr.leaf.SerialNumber.String(), "expires", cr.notAfter.UTC().Format(time.RFC3339))
}

// better refuses a certificate that is out of date while the one in use is not, or expires later.
func (s *Server) better(next *credentials) error {
	now, old := time.Now(), s.current.Load()
	switch {
	case old == nil:
		return nil
	case now.After(next.notAfter) && old.notAfter.After(next.notAfter):
		return fmt.Errorf("%s: expired on %s, and the certificate in use has not", s.options.CertFile, day(next.notAfter))
	case now.Before(next.notBefore) && now.After(old.notBefore) && now.Before(old.notAfter):
		return &tooEarlyError{s.options.CertFile, next.notBefore}
	}
	return nil
}

// tooEarlyError is a certificate that will be better than the one in use, and is not yet.
type tooEarlyError struct {
	file  string
	valid time.Time
}

func (e *tooEarlyError) Error() string {
	return fmt.Sprintf("%s: not valid before %s, while the certificate in use is", e.file,
		e.valid.UTC().Format(time.RFC3339))
}

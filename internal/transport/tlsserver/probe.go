package tlsserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sight is what one connection has shown.
type sight struct {
	chain   []*x509.Certificate // as sent; nil if the server did not come so far
	resumed bool
	asked   bool                // for a client certificate
	state   tls.ConnectionState // if err is nil
	err     error
	ended   bool // with the handshake done and no alert
}

// everything offers all that crypto/tls has, as the most able device would.
func everything() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS10}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !isTLS13(suite.ID) {
			c.CipherSuites = append(c.CipherSuites, suite.ID)
		}
	}
	return c
}

// only offers one version, and some of its suites.
func only(version uint16, suites ...uint16) *tls.Config {
	c := everything()
	c.MinVersion, c.MaxVersion = version, version
	if len(suites) > 0 {
		c.CipherSuites = suites
	}
	return c
}

// dial connects and reports what keeps it from seeing the server's certificate; it returns nil then.
func (p *probe) dial(ctx context.Context, r *Report, c *tls.Config) *sight {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		r.problem(Error, CodeUnreachable, "no connection: "+err.Error(),
			"check the address, the server and the firewalls between")
		return nil
	}
	defer raw.Close()
	seen := p.handshake(ctx, raw, c)
	if seen.chain == nil {
		r.Problems = append(r.Problems, notTLSProblem(seen.err))
		return nil
	}
	return seen
}

// try is dial for what the server may well refuse.
func (p *probe) try(ctx context.Context, c *tls.Config) *sight {
	var ignored Report
	if seen := p.dial(ctx, &ignored, c); seen != nil {
		return seen
	}
	return &sight{err: errors.New("refused")}
}

func (p *probe) handshake(ctx context.Context, raw net.Conn, c *tls.Config) *sight {
	seen := &sight{}
	c.ServerName = p.name
	// The chain is verified apart, as soon as the certificate is there, to say all that is wrong with it.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		seen.chain, seen.resumed = state.PeerCertificates, state.DidResume
		return nil
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		seen.asked = true
		if len(p.certificates) > 0 {
			return &p.certificates[0], nil
		}
		return &tls.Certificate{}, nil
	}
	conn := tls.Client(raw, c)
	if seen.err = conn.HandshakeContext(ctx); seen.err == nil {
		seen.state = conn.ConnectionState()
		seen.err = lateRefusal(conn, seen)
		_, refused := alertOf(seen.err)
		seen.ended = seen.err != nil && !refused && endOf(seen.err) != ReasonIO
	}
	return seen
}

// lateRefusalTimeout is how long a server may take to refuse a client certificate in TLS 1.3, where it does so when
// the client's handshake is done.
const lateRefusalTimeout = time.Second

// lateRefusal waits for the server's opinion if the version has it late.
func lateRefusal(conn *tls.Conn, seen *sight) error {
	if !seen.asked || seen.state.Version < tls.VersionTLS13 {
		return nil
	}
	conn.SetReadDeadline(time.Now().Add(lateRefusalTimeout))
	if _, err := conn.Read(make([]byte, 1)); err != nil && !isTimeoutError(err) {
		return err
	}
	return nil
}

// notTLSProblem says why no certificate was seen.
func notTLSProblem(err error) Problem {
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		return Problem{Error, CodeNotTLS, fmt.Sprintf("the server does not speak TLS: it answers % x", header.RecordHeader),
			"check the port"}
	case isTimeoutError(err):
		return Problem{Error, CodeNotTLS, "the server does not answer a TLS hello",
			"check that the port is the TLS one, and no balancer in front expects something else"}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return Problem{Error, CodeNotTLS, "the server closes the connection at a TLS hello: " + err.Error(),
			"check that the port is the TLS one, or that plain and TLS are told apart on it, and that the balancer in " +
				"front sends what the server expects"}
	}
	return Problem{Error, CodeHandshake, "the server refuses the handshake: " + err.Error(), "see the server's log"}
}

// suiteGroup is a kind of suites that devices have.
type suiteGroup struct {
	name   string
	suites *regexp.Regexp // their names
	wanted bool           // devices exist that have nothing else
}

var suiteGroups = []suiteGroup{
	{"ECDHE with AES-GCM", regexp.MustCompile("ECDHE.*GCM"), true},
	{"ECDHE with AES-CBC", regexp.MustCompile("ECDHE.*AES.*CBC"), true},
	{"RSA key exchange with AES-GCM", regexp.MustCompile("^TLS_RSA.*GCM"), false},
	{"RSA key exchange with AES-CBC", regexp.MustCompile("^TLS_RSA.*AES.*CBC"), false},
	{"3DES or RC4", regexp.MustCompile("3DES|RC4"), false},
}

func (g suiteGroup) ids() (ids []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !isTLS13(s.ID) && g.suites.MatchString(s.Name) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// offers reports the versions and suites that the server agrees to, and whether it resumes sessions.
func (p *probe) offers(ctx context.Context, r *Report) {
	var versions []string
	var has []uint16
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		if p.try(ctx, only(v)).chain != nil {
			versions, has = append(versions, tls.VersionName(v)), append(has, v)
		}
	}
	r.fact("versions", "%s", strings.Join(versions, ", "))
	if !slices.Contains(has, tls.VersionTLS12) {
		r.problem(Warning, CodeVersion, "the server does not offer TLS 1.2, which is the latest that many devices have",
			"lower the minimum version to 1.2")
		return
	}
	if len(has) > 0 && has[0] < tls.VersionTLS12 {
		r.problem(Warning, CodeVersion, "the server offers "+versions[0]+", which is broken",
			"raise the minimum version to 1.2 when no device needs less")
	}
	for _, g := range suiteGroups {
		answer := "no"
		if seen := p.try(ctx, only(tls.VersionTLS12, g.ids()...)); seen.chain != nil {
			if answer = "yes"; seen.err == nil {
				answer = tls.CipherSuiteName(seen.state.CipherSuite)
			}
		} else if g.wanted {
			r.problem(Warning, CodeSuites, "the server offers no suite of TLS 1.2 with "+g.name,
				"allow them: devices exist that have no others")
		}
		r.fact("1.2 "+g.name, "%s", answer)
	}
	p.resumption(ctx, r)
}

// resumption reports whether a second handshake is a short one.
func (p *probe) resumption(ctx context.Context, r *Report) {
	cache := tls.NewLRUClientSessionCache(1)
	first, second := only(tls.VersionTLS12), only(tls.VersionTLS12)
	first.ClientSessionCache, second.ClientSessionCache = cache, cache
	if p.try(ctx, first).err != nil {
		return
	}
	answer := "no: every connection pays for a full handshake"
	if p.try(ctx, second).resumed {
		answer = "yes"
	}
	r.fact("session resumption", "%s", answer)
}

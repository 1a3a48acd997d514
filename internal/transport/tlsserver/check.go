package tlsserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/regularfile"
)

// CheckOptions say what a check compares with.
type CheckOptions struct {
	ServerName        string        // of the certificate; empty is the address's host, or any for CheckFiles
	CAFile            string        // PEM: what the devices trust; empty is this machine's CAs
	CertFile, KeyFile string        // PEM: a device's certificate to show; empty shows none
	Timeout           time.Duration // of each connection; 0 is 10 s
}

const defaultCheckTimeout = 10 * time.Second

// Check looks at the server at the address, host:port, as a device sees it: it connects about ten times, logs nobody
// in, and reports the chain, the dates, the names, the versions and the suites. It does not fail: what
// it cannot do is a problem in the report.
func Check(ctx context.Context, address string, o CheckOptions) *Report {
	r := &Report{}
	r.fact("address", "%s", address)
	p, err := newProbe(address, o)
	if err != nil {
		r.problem(Error, CodeFile, err.Error(), "correct the options of the check")
		return r
	}
	seen := p.dial(ctx, r, everything())
	if seen == nil {
		return r
	}
	r.chain(seen.chain, p.roots, p.name, "the server's key belongs to its certificate: the handshake proves it",
		seen.err == nil)
	r.client(seen, o)
	p.offers(ctx, r)
	return r
}

// CheckFiles looks at the server's files, without a server.
func CheckFiles(certFile, keyFile, clientCAFile string, o CheckOptions) *Report {
	r := &Report{}
	r.fact("certificate file", "%s", certFile)
	files := Options{CertFile: certFile, KeyFile: keyFile, ClientCAFile: clientCAFile}
	f, err := files.read()
	if err != nil {
		r.problem(Error, CodeFile, err.Error(), "correct the path, or the file's permissions")
		return r
	}
	chain, certErr := parseCertificates(certFile, f.cert)
	key, keyErr := parseKey(keyFile, f.key)
	_, caErr := files.clientCAs(f.clientCA)
	roots, rootErr := readRoots(o.CAFile)
	for _, err := range []error{certErr, keyErr, caErr, rootErr} {
		if err != nil {
			r.problem(Error, CodeFile, err.Error(), "replace the file")
		}
	}
	if certErr != nil || rootErr != nil {
		return r
	}
	matches := false
	if keyErr == nil {
		err := matchKey(certFile, keyFile, chain, key)
		if matches = err == nil; !matches {
			r.problem(Error, CodeFile, err.Error(), "put the pair together that was issued together")
		}
	}
	r.chain(chain, roots, o.ServerName, "belongs to the certificate", matches)
	return r
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return x509.SystemCertPool()
	}
	data, err := regularfile.Read(file, maxFileBytes)
	if err != nil {
		return nil, err
	}
	all, err := parseCertificates(file, data)
	if err != nil {
		return nil, err
	}
	return poolOf(all), nil
}

// chain reports on the chain that the server sends.
func (r *Report) chain(chain []*x509.Certificate, roots *x509.CertPool, name, key string, matches bool) {
	bytes := 0
	for i, c := range chain {
		r.fact(fmt.Sprintf("certificate %d", i+1), "%s, issued by %s, %s, valid %s to %s (%.1f days left)", c.Subject,
			c.Issuer,
			keyText(c), day(c.NotBefore), day(c.NotAfter), time.Until(c.NotAfter).Hours()/24)
		bytes += len(c.Raw)
	}
	r.fact("chain", "%d certificates, %d bytes in every full handshake", len(chain), bytes)
	if matches {
		r.fact("key", "%s", key)
	}
	r.Problems = append(r.Problems, inspect(chain, time.Now())...)
	r.trust(chain, roots)
	r.names(chain[0], name)
}

func keyText(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case interface{ Size() int }: // RSA
		return fmt.Sprintf("RSA-%d", key.Size()*8)
	default:
		return c.PublicKeyAlgorithm.String()
	}
}

// trust reports whether the chain leads to a root. The chain's own dates are reported apart.
func (r *Report) trust(chain []*x509.Certificate, roots *x509.CertPool) {
	err := verify(chain, roots, time.Now())
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		if !slices.ContainsFunc(chain, invalid.Cert.Equal) {
			r.problem(Error, CodeExpired, nameOf(invalid.Cert)+", which the chain leads to, is not valid today",
				"renew the CA, also on the devices")
			return
		}
		err = verify(chain, roots, chain[0].NotAfter.Add(-time.Second))
	}
	var unknown x509.UnknownAuthorityError
	last := chain[len(chain)-1]
	switch {
	case err == nil:
		r.fact("trust", "the chain leads to a trusted root")
	case !errors.As(err, &unknown):
		r.problem(Error, CodeUntrusted, "the chain cannot be verified: "+err.Error(), "have the certificate issued anew")
	case isSelfSigned(last):
		r.problem(Error, CodeUntrusted,
			fmt.Sprintf("the chain ends at %s, which signs itself and is not among the trusted CAs", nameOf(last)),
			"upload this CA's certificate to the devices, and give it to this check as the CA file")
	default:
		r.problem(Error, CodeChainGap,
			fmt.Sprintf("the chain ends at %s, whose issuer %q is neither sent nor trusted", nameOf(last), last.Issuer),
			"append the issuer's certificate to the certificate file, or, if it is the devices' root, give it to this "+
				"check as the CA file")
	}
}

func verify(chain []*x509.Certificate, roots *x509.CertPool, at time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// names reports whether the certificate is for the name.
func (r *Report) names(leaf *x509.Certificate, name string) {
	var ips []string
	for _, ip := range leaf.IPAddresses {
		ips = append(ips, ip.String())
	}
	r.fact("names", "%q", append(append([]string(nil), leaf.DNSNames...), ips...))
	if name == "" {
		return
	}
	if err := leaf.VerifyHostname(name); err != nil {
		r.problem(Warning, CodeName, fmt.Sprintf("the certificate is not for %s: %v", name, err),
			"have it issued for the name or address that the devices are set to; most of them do not compare it, but some do")
		return
	}
	r.fact("name", "the certificate is for %s", name)
}

// client reports what the server wants of a device.
func (r *Report) client(seen *sight, o CheckOptions) {
	switch {
	case !seen.asked:
		r.fact("client certificate", "not asked for")
	case seen.err == nil && o.CertFile == "":
		r.fact("client certificate", "asked for, not required")
	case seen.err == nil:
		r.fact("client certificate", "asked for, and the one of %s is accepted", o.CertFile)
	case o.CertFile == "":
		r.fact("client certificate", "required")
		r.problem(Warning, CodeHandshake,
			"the server requires a client certificate, so the handshake could not be finished: "+seen.err.Error(),
			"give this check a device's certificate and key")
		return
	case seen.ended:
		r.problem(Warning, CodeHandshake,
			fmt.Sprintf("the server ended the connection after the handshake, and did not say whether it is for the "+
				"certificate of %s", o.CertFile),
			"see the server's log; it may be stopping, or a balancer in front may have ended it")
		return
	default:
		r.problem(Error, CodeHandshake, "the server does not accept the client certificate: "+seen.err.Error(),
			"have it issued by the CA that the server expects")
		return
	}
	if seen.err != nil {
		r.problem(Error, CodeHandshake, "the handshake fails: "+seen.err.Error(), "see the server's log")
	}
}

// probe connects to a server.
type probe struct {
	address, name string
	roots         *x509.CertPool
	certificates  []tls.Certificate
	timeout       time.Duration
}

func newProbe(address string, o CheckOptions) (*probe, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q is not host:port: %w", address, err)
	}
	p := &probe{address: address, name: o.ServerName, timeout: o.Timeout}
	if p.name == "" {
		p.name = host
	}
	if p.timeout == 0 {
		p.timeout = defaultCheckTimeout
	}
	if p.roots, err = readRoots(o.CAFile); err != nil {
		return nil, err
	}
	if o.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		p.certificates = []tls.Certificate{certificate}
	}
	return p, nil
}

// isTimeoutError reports whether a connection was given up waiting.
func isTimeoutError(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

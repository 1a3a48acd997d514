package tlsserver

import (
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// credentials is what the files hold, ready to use.
type credentials struct {
	config    *tls.Config
	unsigned  *tls.Config // offers only what needs no signature of the server; nil unless the key is RSA
	files     files       // that it was made of
	leaf      *x509.Certificate
	notBefore time.Time // the latest of the chain
	notAfter  time.Time // the earliest of the chain
}

// load makes credentials of the files. What is wrong for good is an error; dates and what is only unwise are problems.
func (o *Options) load() (*credentials, []Problem, error) {
	f, err := o.read()
	chain, key, cas, parseErr := o.parse(f)
	if err := errors.Join(err, parseErr); err != nil {
		return nil, nil, err
	}
	if err := matchKey(o.CertFile, o.KeyFile, chain, key); err != nil {
		return nil, nil, FileKey.of(err)
	}
	problems := inspect(chain, time.Now())
	for _, p := range problems {
		if p.Severity == Error && p.Code != CodeExpired && p.Code != CodeNotYetValid {
			return nil, nil, FileCertificate.of(fmt.Errorf("%s: %s: %s", o.CertFile, p.What, p.Remedy))
		}
	}
	for _, ca := range cas {
		problems = append(problems, inspectDates(ca, time.Now())...)
	}
	cr := o.credentials(chain, key, poolOf(cas))
	cr.files = f
	return cr, problems, nil
}

// parse reads the files that are there. Its error names every one that is wrong.
func (o *Options) parse(f files) (chain []*x509.Certificate, key crypto.Signer, cas []*x509.Certificate, err error) {
	var certErr, keyErr, caErr error
	if f.cert != nil {
		chain, certErr = parseCertificates(o.CertFile, f.cert)
	}
	if f.key != nil {
		key, keyErr = parseKey(o.KeyFile, f.key)
	}
	if f.clientCA != nil {
		cas, caErr = parseCertificates(o.ClientCAFile, f.clientCA)
	}
	return chain, key, cas, errors.Join(FileCertificate.of(certErr), FileKey.of(keyErr), FileClientCA.of(caErr))
}

func (o *Options) clientCAs(data []byte) ([]*x509.Certificate, error) {
	if o.ClientCAFile == "" {
		return nil, nil
	}
	return parseCertificates(o.ClientCAFile, data)
}

func poolOf(all []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range all {
		pool.AddCert(c)
	}
	return pool
}

// matchKey checks that the key is the first certificate's.
func matchKey(certFile, keyFile string, chain []*x509.Certificate, key crypto.Signer) error {
	for i, certificate := range chain {
		if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok ||
			!public.Equal(certificate.PublicKey) {
			continue
		}
		if i > 0 {
			return fmt.Errorf("%s: the key belongs to certificate %d of the file: the server's certificate has to be the "+
				"first, its issuers behind it", certFile, i+1)
		}
		return nil
	}
	return fmt.Errorf("%s: the key does not belong to the certificate in %s (%s)", keyFile, certFile, chain[0].Subject)
}

func (o *Options) credentials(chain []*x509.Certificate, key crypto.Signer, pool *x509.CertPool) *credentials {
	cr := &credentials{leaf: chain[0], notBefore: chain[0].NotBefore, notAfter: chain[0].NotAfter}
	certificate := tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
		if c.NotAfter.Before(cr.notAfter) {
			cr.notAfter = c.NotAfter
		}
		if c.NotBefore.After(cr.notBefore) {
			cr.notBefore = c.NotBefore
		}
	}
	cr.config = &tls.Config{
		Certificates: []tls.Certificate{certificate}, CipherSuites: suites, MinVersion: o.MinVersion,
		ClientAuth: clientAuthTypes[o.ClientAuth], ClientCAs: pool,
	}
	if _, ok := key.(*rsa.PrivateKey); ok {
		cr.unsigned = cr.config.Clone()
		cr.unsigned.CipherSuites = unsignedSuites
	}
	return cr
}

// configFor returns the configuration for a device. One that does not say how signatures may be made can in TLS 1.2
// only verify SHA-1, which crypto/tls does not make any more; with an RSA key there are suites without a signature.
func (cr *credentials) configFor(hello *tls.ClientHelloInfo) *tls.Config {
	if cr.unsigned != nil && len(hello.SignatureSchemes) == 0 && speaks(hello, tls.VersionTLS12) && offersUnsigned(hello) {
		return cr.unsigned
	}
	return cr.config
}

// speaks reports whether the version is the highest that the device offers.
func speaks(hello *tls.ClientHelloInfo, version uint16) bool {
	highest := uint16(0)
	for _, v := range hello.SupportedVersions {
		highest = max(highest, v)
	}
	return highest == version
}

func offersUnsigned(hello *tls.ClientHelloInfo) bool {
	for _, id := range hello.CipherSuites {
		for _, unsigned := range unsignedSuites {
			if id == unsigned {
				return true
			}
		}
	}
	return false
}

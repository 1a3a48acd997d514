package tlsserver

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// ErrCertificateIMEI says that a device's certificate is another device's.
var ErrCertificateIMEI = errors.New("the certificate does not name this IMEI")

// VerifyIMEI reports whether the device may log in with the IMEI: whether its certificate names it, if certificates are
// bound to IMEIs. What has no certificate, on a plain connection or where certificates are optional, may log in.
func (c *Conn) VerifyIMEI(imei string) error {
	if !c.server.options.BindIMEI {
		return nil
	}
	names := c.peerNames()
	if len(names) == 0 || slices.Contains(names, imei) {
		return nil
	}
	return fmt.Errorf("%w: it names %q", ErrCertificateIMEI, names)
}

// peerNames are the names in the device's certificate, which has been verified: the common name, the DNS names and, of
// a URI such as urn:imei:356307042441013 or urn:gsma:imei:35630704-244101-3, the last part without dashes.
// There are none if the device has shown no certificate; a certificate without names has an empty one.
func (c *Conn) peerNames() []string {
	t := c.tls.Load()
	if t == nil {
		return nil
	}
	chain := t.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return nil
	}
	return namesOf(chain[0])
}

func namesOf(certificate *x509.Certificate) []string {
	names := append([]string{certificate.Subject.CommonName}, certificate.DNSNames...)
	for _, u := range certificate.URIs {
		names = append(names, lastPart(u))
	}
	return names
}

func lastPart(u *url.URL) string {
	text := u.Opaque
	if text == "" {
		text = u.Path
	}
	return strings.ReplaceAll(text[strings.LastIndexAny(text, ":/")+1:], "-", "")
}

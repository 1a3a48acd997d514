package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are PEM files of an authority, and of a server at 127.0.0.1 and a client whose certificates it has
// signed.
type Certificates struct {
	CA        string
	Server    string // key and certificate
	Cert, Key string // the client's

	tb  testing.TB
	dir string
}

// NewCertificates makes them, for an hour.
func NewCertificates(tb testing.TB) Certificates {
	tb.Helper()
	c := Certificates{tb: tb, dir: tb.TempDir()}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, caPEM := c.sign(ca, ca, nil)
	leaf := func(name string) (key *ecdsa.PrivateKey, cert []byte) {
		return c.sign(&x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}, ca, caKey)
	}
	serverKey, server := leaf("server")
	clientKey, client := leaf("client")
	c.CA = c.Write("ca.pem", caPEM)
	c.Server = c.Write("server.pem", append(c.keyPEM(serverKey), server...))
	c.Cert, c.Key = c.Write("cert.pem", client), c.Write("key.pem", c.keyPEM(clientKey))
	return c
}

func (c Certificates) sign(what, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	c.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.tb.Fatal(err)
	}
	if byKey == nil {
		byKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, what, by, &key.PublicKey, byKey)
	if err != nil {
		c.tb.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (c Certificates) keyPEM(key *ecdsa.PrivateKey) []byte {
	c.tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Write writes a file beside them.
func (c Certificates) Write(name string, content []byte) (path string) {
	c.tb.Helper()
	path = filepath.Join(c.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		c.tb.Fatal(err)
	}
	return path
}

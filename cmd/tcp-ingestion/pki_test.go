package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
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

// certificateAuthority is a CA of the fleet's owner, and the folder with the files that the server has of it.
type certificateAuthority struct {
	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	dir         string
	issued      int64
}

func newCertificateAuthority(t testing.TB) *certificateAuthority {
	t.Helper()
	ca := &certificateAuthority{t: t, dir: t.TempDir()}
	ca.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca.certificate = ca.sign(template, template, ca.key)
	ca.write("ca.crt", "CERTIFICATE", ca.certificate.Raw)
	return ca
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (ca *certificateAuthority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	ca.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return certificate
}

func (ca *certificateAuthority) issue(
	name string, usage x509.ExtKeyUsage, days int,
) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.t.Helper()
	ca.issued++
	key := newKey(ca.t)
	return ca.sign(&x509.Certificate{
		SerialNumber: big.NewInt(100 + ca.issued), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().AddDate(0, 0, -200), NotAfter: time.Now().AddDate(0, 0, days).Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, ca.certificate, key), key
}

// renew writes a server's certificate that is valid for so many days, and returns its serial number.
func (ca *certificateAuthority) renew(days int) (serial string) {
	ca.t.Helper()
	certificate, key := ca.issue("server", x509.ExtKeyUsageServerAuth, days)
	ca.writePair("server", certificate, key)
	return certificate.SerialNumber.String()
}

// writeDevice writes a device's certificate and key.
func (ca *certificateAuthority) writeDevice(imei string) (certFile, keyFile string) {
	ca.t.Helper()
	certificate, key := ca.issue(imei, x509.ExtKeyUsageClientAuth, 30)
	ca.writePair(imei, certificate, key)
	return ca.path(imei + ".crt"), ca.path(imei + ".key")
}

func (ca *certificateAuthority) writePair(name string, certificate *x509.Certificate, key *ecdsa.PrivateKey) {
	ca.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	ca.write(name+".key", "PRIVATE KEY", der)
	ca.write(name+".crt", "CERTIFICATE", certificate.Raw)
}

// write replaces a file by renaming.
func (ca *certificateAuthority) write(name, kind string, der []byte) {
	ca.t.Helper()
	path := ca.path(name)
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		ca.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		ca.t.Fatal(err)
	}
}

func (ca *certificateAuthority) path(name string) string { return filepath.Join(ca.dir, name) }

// settings are a server's that has the files, with the store's.
func (ca *certificateAuthority) settings(store store, more ...string) map[string]string {
	ca.t.Helper()
	if len(more)%2 != 0 {
		ca.t.Fatalf("settings %q are no pairs", more)
	}
	settings := map[string]string{"TLS_CERT_FILE": ca.path("server.crt"), "TLS_KEY_FILE": ca.path("server.key")}
	for name, value := range store.settings {
		settings[name] = value
	}
	for i := 0; i < len(more); i += 2 {
		settings[more[i]] = more[i+1]
	}
	return settings
}

// trusting is the TLS of a device that has the CA.
func (ca *certificateAuthority) trusting() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// deviceOf is the TLS of a device with a certificate of its own.
func (ca *certificateAuthority) deviceOf(imei string) *tls.Config {
	ca.t.Helper()
	certificate, key := ca.issue(imei, x509.ExtKeyUsageClientAuth, 30)
	c := ca.trusting()
	c.Certificates = []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}}
	return c
}

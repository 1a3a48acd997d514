package redisstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// trusted signs the certificates that this process trusts. It is made before anything reads the
// system's certificates, which happens once in a process, and trusted as an operator would do it:
// by SSL_CERT_FILE.
var trusted authority

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "redisstream")
	if err == nil {
		trusted, err = newAuthority(dir)
	}
	if err == nil {
		err = os.Setenv("SSL_CERT_FILE", trusted.file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(testkit.AfterDials(m), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate, PEM
}

func newAuthority(dir string) (authority, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := authority{file: filepath.Join(dir, "ca.pem")}
	der, key, err := a.sign(template)
	if err != nil {
		return a, err
	}
	a.key = key
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return a, err
	}
	return a, writePEM(a.file, "CERTIFICATE", der)
}

// sign makes a key and a certificate for it; the first one of an authority signs itself.
func (a authority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	return der, key, err
}

// serverArgs are redis-server's arguments for TLS on the port, for clients that come without a
// certificate.
func (a authority) serverArgs(t *testing.T, port int) []string {
	t.Helper()
	der, key, err := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil {
		t.Fatal(err)
	}
	if err := writePEM(keyFile, "EC PRIVATE KEY", keyDER); err != nil {
		t.Fatal(err)
	}
	return []string{
		"--tls-port", fmt.Sprint(port), "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", a.file, "--tls-auth-clients", "no",
	}
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

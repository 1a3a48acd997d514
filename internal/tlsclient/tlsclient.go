// Package tlsclient makes the TLS settings of a client from PEM files.
package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files are paths of PEM files.
type Files struct {
	CA   string // the authorities of the server's certificate; empty: the system's
	Cert string // the client's own certificate; empty: none
	Key  string // its key, without passphrase
}

// Config is for TLS 1.2 and later. The error says what is wrong with a file.
func (f Files) Config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", f.CA)
		}
	}
	if f.Cert != "" || f.Key != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return nil, err
		}
		// Read for each connection, so that a renewed one is used without a restart.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			return &c, err
		}
	}
	return config, nil
}

package tlsserver

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/regularfile"
)

// maxFileBytes bounds a file of certificates.
const maxFileBytes = 4 << 20

// files is the content of the files that TLS needs.
type files struct {
	cert, key, clientCA []byte
}

func (f files) equal(g files) bool {
	return bytes.Equal(f.cert, g.cert) && bytes.Equal(f.key, g.key) && bytes.Equal(f.clientCA, g.clientCA)
}

// File is what a file is for.
type File string

// The files.
const (
	FileCertificate File = "certificate"
	FileKey         File = "key"
	FileClientCA    File = "client CA"
)

// FileError is a file that cannot be used. Its text begins with the file's name.
type FileError struct {
	File File
	Err  error
}

func (e *FileError) Error() string { return e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// FileErrors are all those that an error of New or Reload is of.
func FileErrors(err error) []*FileError {
	if one := (*FileError)(nil); errors.As(err, &one) && err == error(one) {
		return []*FileError{one}
	}
	var all []*FileError
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, each := range e.Unwrap() {
			all = append(all, FileErrors(each)...)
		}
	case interface{ Unwrap() error }:
		return FileErrors(e.Unwrap())
	}
	return all
}

// of returns err as one of the file, nil if there is none.
func (f File) of(err error) error {
	if err == nil {
		return nil
	}
	return &FileError{f, err}
}

func (o *Options) read() (f files, err error) {
	var certErr, keyErr, caErr error
	f.cert, certErr = regularfile.Read(o.CertFile, maxFileBytes)
	f.key, keyErr = regularfile.Read(o.KeyFile, maxFileBytes)
	if o.ClientCAFile != "" {
		f.clientCA, caErr = regularfile.Read(o.ClientCAFile, maxFileBytes)
	}
	return f, errors.Join(FileCertificate.of(certErr), FileKey.of(keyErr), FileClientCA.of(caErr))
}

// parseCertificates returns the certificates of a PEM file, at least one.
func parseCertificates(file string, data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	var others []string
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			others = append(others, block.Type)
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d cannot be read: %w", file, len(all)+1, err)
		}
		all = append(all, certificate)
	}
	switch {
	case len(all) > 0:
		return all, nil
	case len(others) > 0 && strings.HasSuffix(others[0], "PRIVATE KEY"):
		return nil, fmt.Errorf("%s: holds a private key and no certificate: are the two files swapped?", file)
	case len(others) > 0:
		return nil, fmt.Errorf("%s: holds a %s and no certificate", file, others[0])
	}
	return nil, notPEM(file, data, "x509")
}

func notPEM(file string, data []byte, command string) error {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return fmt.Errorf("%s: is empty", file)
	case data[0] == 0x30:
		return fmt.Errorf("%s: is not PEM but DER or PKCS#12; convert it, for DER: openssl %s -inform der -in %[1]s", file,
			command)
	}
	return fmt.Errorf("%s: is not PEM: no -----BEGIN line with its end", file)
}

// parseKey returns the private key of a PEM file: PKCS#8, PKCS#1 or SEC 1, without passphrase.
func parseKey(file string, data []byte) (crypto.Signer, error) {
	certificates := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		certificates = certificates || block.Type == "CERTIFICATE"
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, fmt.Errorf("%s: the key is encrypted; take the passphrase off: openssl pkey -in %[1]s", file)
		}
		return decodeKey(file, block.Bytes)
	}
	if certificates {
		return nil, fmt.Errorf("%s: holds certificates and no private key: are the two files swapped?", file)
	}
	return nil, notPEM(file, data, "pkey")
}

func decodeKey(file string, der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if rsa, e := x509.ParsePKCS1PrivateKey(der); e == nil {
			return rsa, nil
		}
		if ec, e := x509.ParseECPrivateKey(der); e == nil {
			return ec, nil
		}
		return nil, fmt.Errorf("%s: the key cannot be read: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key of type %T cannot sign", file, key)
	}
	return signer, nil
}

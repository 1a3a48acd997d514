package tlsserver

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// sClient runs openssl s_client against the service, sends a line and returns all it prints. OpenSSL has to be told
// that it may be as weak as a modem.
func (s *service) sClient(t *testing.T, ca string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl",
		append([]string{"s_client", "-connect", s.address, "-CAfile", ca, "-noservername",
			"-verify_return_error", "-quiet", "-no_ign_eof"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out testkit.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "login\n")
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	for end := time.Now().Add(patienceOfTests); !strings.Contains(out.String(), "login"); {
		select {
		case <-done: // refused
			return out.String()
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(end) {
			break
		}
	}
	in.Close()
	<-done
	return out.String()
}

// TestSuitesOfModems has OpenSSL offer one suite at a time.
func TestSuitesOfModems(t *testing.T) {
	for _, c := range []struct {
		key             func() crypto.Signer
		version, cipher string
	}{
		{ecdsaKey, "-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"},
		{ecdsaKey, "-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"},
		{ecdsaKey, "-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"},
		{ecdsaKey, "-tls1_2", "ECDHE-ECDSA-AES128-SHA"},
		{ecdsaKey, "-tls1_2", "ECDHE-ECDSA-AES256-SHA"},
		{ecdsaKey, "-tls1_2", "ECDHE-ECDSA-AES128-SHA256"},
		{ecdsaKey, "-tls1_1", "ECDHE-ECDSA-AES128-SHA"},
		{rsaKey, "-tls1_2", "ECDHE-RSA-AES128-GCM-SHA256"},
		{rsaKey, "-tls1_2", "ECDHE-RSA-AES256-GCM-SHA384"},
		{rsaKey, "-tls1_2", "ECDHE-RSA-CHACHA20-POLY1305"},
		{rsaKey, "-tls1_2", "ECDHE-RSA-AES128-SHA"},
		{rsaKey, "-tls1_2", "ECDHE-RSA-AES256-SHA"},
		{rsaKey, "-tls1_2", "ECDHE-RSA-AES128-SHA256"},
		{rsaKey, "-tls1_2", "AES128-GCM-SHA256"},
		{rsaKey, "-tls1_2", "AES256-GCM-SHA384"},
		{rsaKey, "-tls1_2", "AES128-SHA"},
		{rsaKey, "-tls1_2", "AES256-SHA"},
		{rsaKey, "-tls1_2", "AES128-SHA256"},
		{rsaKey, "-tls1_1", "AES128-SHA"},
		{rsaKey, "-tls1", "AES256-SHA"},
		{rsaKey, "-tls1", "ECDHE-RSA-AES128-SHA"},
	} {
		t.Run(c.version+" "+c.cipher, func(t *testing.T) {
			root, dir := newRoot(t, "root"), t.TempDir()
			writePair(t, dir, root.issue(t, "server", c.key()))
			ca := write(t, dir+"/ca.crt", certificatePEM(root))
			s := startService(t, dir, minVersion(tls.VersionTLS10))
			out := s.sClient(t, ca, c.version, "-cipher", c.cipher+":@SECLEVEL=0")
			if err := s.result(t); err != nil || !strings.Contains(out, "login") {
				t.Errorf("%v; openssl says: %s", err, out)
			}
		})
	}
}

func TestVersionsOfModems(t *testing.T) {
	root, dir := newPKI(t)
	ca := write(t, dir+"/ca.crt", certificatePEM(root))
	flags := []string{"-tls1", "-tls1_1", "-tls1_2", "-tls1_3"}
	for least := range flags {
		for offered, flag := range flags {
			t.Run(fmt.Sprintf("least %s, offered %s", flags[least], flag), func(t *testing.T) {
				s := startService(t, dir, minVersion(tls.VersionTLS10+uint16(least)))
				out := s.sClient(t, ca, flag, "-cipher", "ALL:@SECLEVEL=0")
				if offered < least {
					s.fails(t, ReasonUnsupportedVersion, "the minimum here is "+tls.VersionName(tls.VersionTLS10+uint16(least)))
				} else if err := s.result(t); err != nil || !strings.Contains(out, "login") {
					t.Errorf("%v; openssl says: %s", err, out)
				}
			})
		}
	}
}

func TestOpenSSLThatDoesNotTrust(t *testing.T) {
	_, dir := newPKI(t)
	ca := write(t, dir+"/ca.crt", certificatePEM(newRoot(t, "another")))
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(version, func(t *testing.T) {
			s := startService(t, dir)
			s.sClient(t, ca, version)
			s.fails(t, ReasonUntrustedCA, "trust our CA")
		})
	}
}

// TestDeviceThatNamesNoSignature has the hello of a stack that is older than the extension, in which TLS 1.2 means
// SHA-1.
func TestDeviceThatNamesNoSignature(t *testing.T) {
	dir := t.TempDir()
	root := newRoot(t, "root")
	writePair(t, dir, root.issue(t, "server", rsaKey()))
	s := startService(t, dir)
	conn := s.connect(t)
	// TLS 1.2, no session, ECDHE_RSA_WITH_AES_128_CBC_SHA and RSA_WITH_AES_128_CBC_SHA, no compression, and of the
	// extensions only the curves: P-256.
	hello := append([]byte{1, 0, 0, 53, 3, 3}, make([]byte, 32)...)
	hello = append(hello, 0, 0, 4, 0xC0, 0x13, 0x00, 0x2F, 1, 0, 0, 8, 0, 10, 0, 4, 0, 2, 0, 23)
	conn.Write(append([]byte{handshakeRecord, 3, 1, 0, byte(len(hello))}, hello...))
	answer := readRecord(t, conn)
	if len(answer) < 40 || answer[0] != 2 || answer[4+34+1+int(answer[38])-1] != 0 {
		t.Fatalf("no ServerHello: %x", answer)
	}
	session := int(answer[38])
	if suite := uint16(answer[39+session])<<8 | uint16(answer[40+session]); suite != tls.TLS_RSA_WITH_AES_128_CBC_SHA {
		t.Errorf("agreed on %s, whose signature the device cannot verify", tls.CipherSuiteName(suite))
	}
}

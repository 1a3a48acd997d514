package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// startDatagramAcknowledger acknowledges every datagram.
func startDatagramAcknowledger(t *testing.T) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			d, err := teltonika.ParseDatagram(b[:n])
			if err != nil {
				t.Error(err)
				continue
			}
			conn.WriteTo(d.AppendAnswer(nil, int(d.Body[1])), from)
		}
	})
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	return conn.LocalAddr().String()
}

func TestSimulateUDP(t *testing.T) {
	list := filepath.Join(t.TempDir(), "acknowledged")
	code, out, errOut := execute(t, nil, "", "simulate", "--transport=udp", "--address", startDatagramAcknowledger(t),
		"--devices=20",
		"--records=3000", "--loss=0.1", "--duplicate=0.1", "--reorder=0.1", "--reorder-delay=10ms", "--response-timeout=20ms",
		"--ledger", list, "--json")
	var ledger simulate.Ledger
	if err := json.Unmarshal([]byte(out), &ledger); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errOut)
	}
	if code != 0 || ledger.RecordsAcknowledged != 3000 || ledger.DatagramsLost == 0 || ledger.DatagramsCopied == 0 ||
		ledger.DatagramsDelayed == 0 {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	lines, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines, []byte("\n")); n != 3000 {
		t.Errorf("%d lines of acknowledged records, want 3000", n)
	}
}

// serverCertificate borrows a certificate for 127.0.0.1, and puts it and its key into files.
func serverCertificate(t *testing.T) (certificate tls.Certificate, certFile, keyFile string) {
	t.Helper()
	borrowed := httptest.NewTLSServer(nil)
	borrowed.Close()
	certificate = borrowed.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, certFile, keyFile
}

func TestSimulateTLS(t *testing.T) {
	certificate, certFile, keyFile := serverCertificate(t)
	a, strict := new(acknowledger), new(acknowledger)
	a.start(t, tls.NewListener(listenTCP(t), &tls.Config{Certificates: []tls.Certificate{certificate}}))
	strict.start(t, tls.NewListener(listenTCP(t), &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS11,
		MinVersion: tls.VersionTLS10,
	}))
	for _, c := range []struct {
		name    string
		address string
		args    []string
		code    int
		says    string
	}{
		{"CA", a.address, []string{"--tls-ca", certFile}, 0, "50 sent, 50 acknowledged"},
		{"name", a.address, []string{"--tls-ca", certFile, "--tls-server-name=example.com"}, 0, "50 sent, 50 acknowledged"},
		{"insecure", a.address, []string{"--tls-insecure", "--tls-resume=false"}, 0, "50 sent, 50 acknowledged"},
		{"old with certificate", strict.address,
			[]string{"--tls-ca", certFile, "--tls-cert", certFile, "--tls-key", keyFile, "--tls-max-version=1.1"}, 0,
			"50 sent, 50 acknowledged"},
		{"not trusted", a.address, nil, 1,
			"TLS handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"wrong name", a.address, []string{"--tls-ca", certFile, "--tls-server-name=x.example"}, 1, "not x.example"},
		{"too old", a.address, []string{"--tls-ca", certFile, "--tls-max-version=1.1"}, 1, "protocol version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"simulate", "--transport=tls", "--devices=3", "--records=50", "--address", c.address},
				c.args...)
			if c.code != 0 {
				args = append(args, "--duration=1s")
			}
			code, out, errOut := execute(t, nil, "", args...)
			if code != c.code || !strings.Contains(out+errOut, c.says) || (code != 0) != strings.Contains(out, "handshakes") {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, c.code, c.says, out, errOut)
			}
		})
	}
}

func TestSimulateTransportFlags(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--transport=pigeon", "--loss=1", "--duplicate=2", "--reorder=-1", "--reorder-delay=-1s"},
			[]string{"transport:", "loss:", "duplicate:", "reorder:", "reorder-delay:"}},
		{[]string{"--loss=0.1", "--tls-insecure"},
			[]string{"loss: is of datagrams, and the transport is tcp", "tls-insecure:"}},
		{[]string{"--transport=udp", "--tls-resume=true", "--command-ledger=/dev/null", "--command-latency=1s",
			"--messages=1", "--command-twice=1"},
			[]string{"tls-resume:", "command-ledger:", "command-latency:", "messages:", "command-twice:"}},
		{[]string{"--transport=tls", "--reorder=0.1", "--tls-ca=/dev/null/ca", "--tls-insecure", "--tls-min-version=2",
			"--tls-cert=x"},
			[]string{"reorder:", "tls-ca: open /dev/null/ca", "tls-insecure:", "tls-min-version:", "tls-cert and tls-key:"}},
		{[]string{"--transport=tls", "--tls-ca", empty, "--tls-min-version=1.3", "--tls-max-version=1.2", "--tls-cert", empty,
			"--tls-key", empty},
			[]string{"tls-ca: ", "no certificate", "tls-min-version: is above", "tls-cert and tls-key: tls: failed"}},
	} {
		code, out, errOut := execute(t, nil, "", append([]string{"simulate", "--devices=0"}, c.args...)...)
		for _, text := range append(c.says, "devices:") {
			if code != exitUsage || !strings.Contains(errOut, text) {
				t.Errorf("%v: exit code %d, does not say %q:\n%s%s", c.args, code, text, out, errOut)
			}
		}
	}
}

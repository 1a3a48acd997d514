package proxyheader

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second

// v1 is a header of version 1 for a client on loopback.
func v1(port uint16) []byte {
	return fmt.Appendf(nil, "PROXY TCP4 127.0.0.1 127.0.0.1 %d 5027\r\n", port)
}

func selfSigned(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// seen is what an echo server found out about a connection.
type seen struct {
	kind   Kind
	client string
	err    error
}

// echo answers whoever comes with what he sends, over TLS if it has a certificate.
type echo struct {
	net.Listener
	certificate *tls.Certificate
	seen        chan seen
	sessions    sync.WaitGroup
}

func startEcho(t *testing.T, certificate *tls.Certificate) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{Listener: l, certificate: certificate, seen: make(chan seen, 10_000)}
	e.sessions.Go(func() { e.accept(balancers(t)) })
	t.Cleanup(func() { l.Close(); e.sessions.Wait() })
	return e
}

func (e *echo) accept(trust *Trust) {
	for {
		c, err := e.Accept()
		if err != nil {
			return
		}
		e.sessions.Go(func() {
			defer c.Close()
			e.serve(trust, c)
		})
	}
}

func (e *echo) serve(trust *Trust, c net.Conn) {
	c.SetDeadline(time.Now().Add(patience))
	client, kind, err := trust.Header(c)
	s := seen{kind: kind, err: err}
	if err == nil {
		s.client = client.RemoteAddr().String()
	}
	e.seen <- s
	if err != nil {
		return
	}
	if e.certificate != nil {
		client = tls.Server(client, &tls.Config{Certificates: []tls.Certificate{*e.certificate}})
	}
	io.Copy(client, client)
}

// await returns the next connection of the kind.
func (e *echo) await(t *testing.T, kind Kind) seen {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case s := <-e.seen:
			if s.err != nil {
				t.Fatal(s.err)
			}
			if s.kind == kind {
				return s
			}
		case <-timeout:
			t.Fatalf("no connection of kind %v", kind)
		}
	}
}

// startHaproxy runs a real haproxy in front of the server and returns its address. It is given a socket that listens
// already.
func startHaproxy(t *testing.T, server net.Addr, options string) string {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy" // Debian's place, not in everybody's PATH
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("these tests run a real haproxy and there is none: apt-get install haproxy")
	}
	front, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	socket, err := front.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	config := fmt.Sprintf("defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n "+
		"timeout check 5s\n"+
		"frontend front\n bind fd@3\n default_backend back\nbackend back\n server one %s %s\n", server, options)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command(path, "-db", "-f", file)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &output, &output, []*os.File{socket}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	return front.Addr().String()
}

// roundTrip sends over the connection and expects the same back.
func roundTrip(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, behind); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(behind))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != behind {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestHaproxy(t *testing.T) {
	certificate := selfSigned(t)
	for name, options := range map[string]string{
		"v1":                   "send-proxy",
		"v2":                   "send-proxy-v2",
		"v2 with TLVs":         "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
		"v1 and checks":        "send-proxy check check-send-proxy inter 20ms",
		"v2 and checks":        "send-proxy-v2 check check-send-proxy inter 20ms",
		"v2 and silent checks": "send-proxy-v2 check port %d inter 20ms", // they end in the kernel
	} {
		for _, secured := range []*tls.Certificate{nil, &certificate} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, secured != nil), func(t *testing.T) {
				e := startEcho(t, secured)
				options := options
				checked := strings.HasSuffix(name, "and checks")
				if name == "v2 and silent checks" {
					options = fmt.Sprintf(options, e.Addr().(*net.TCPAddr).Port)
				}
				front := startHaproxy(t, e.Addr(), options)
				c, err := net.Dial("tcp", front)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				local := c.LocalAddr().String()
				if secured != nil {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				roundTrip(t, c)
				if s := e.await(t, Proxied); s.client != local {
					t.Errorf("the client is %s, not %s", s.client, local)
				}
				if checked {
					for range 3 {
						e.await(t, Check)
					}
				}
			})
		}
	}
}

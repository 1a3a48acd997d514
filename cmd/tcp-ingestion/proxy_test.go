package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const haproxyConfig = "../../deploy/haproxy/haproxy.cfg"

// haproxyCommand is a real haproxy.
func haproxyCommand(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy" // Debian's place, not in everybody's PATH
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("these tests run a real haproxy and there is none: apt-get install haproxy")
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func TestHaproxyTakesTheExample(t *testing.T) {
	if out, err := haproxyCommand(t, "-c", "-f", haproxyConfig).CombinedOutput(); err != nil ||
		bytes.Contains(out, []byte("WARNING")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// startHaproxy runs the example in front of the server: with its addresses, the PROXY protocol of that version, and
// checks that come in a test's time. It returns where devices connect to, plain and TLS.
func startHaproxy(t testing.TB, s *server, version string) (plain, secure string) {
	t.Helper()
	config := adapted(t, map[string]string{
		`server one 192\.0\.2\.11:5027`: "server one " + s.devices,
		`server one 192\.0\.2\.11:5028`: "server one " + s.address("devices-tls"),
		`    server two .*\n`:           "",
		`default-server send-proxy-v2`:  "default-server " + version,
	})
	plainSocket, plain := listeningSocket(t)
	secureSocket, secure := listeningSocket(t)
	runHaproxy(t, config, plainSocket, secureSocket)
	return plain, secure
}

// balance runs the example in front of two servers, plain. It returns where devices connect to.
func balance(t testing.TB, one, two string) (address string) {
	t.Helper()
	config := adapted(t, map[string]string{
		`192\.0\.2\.11:502\d`: one,
		`192\.0\.2\.12:502\d`: two,
	})
	plain, address := listeningSocket(t)
	secure, _ := listeningSocket(t)
	runHaproxy(t, config, plain, secure)
	return address
}

// adapted is the example with what the patterns match replaced, for sockets that a test hands over and its time.
func adapted(t testing.TB, replace map[string]string) string {
	t.Helper()
	b, err := os.ReadFile(haproxyConfig)
	if err != nil {
		t.Fatal(err)
	}
	config := string(b)
	maps.Copy(replace, map[string]string{
		`bind :::5027 v4v6`: "bind fd@3", `bind :::5028 v4v6`: "bind fd@4", `inter 2s`: "inter 20ms",
		`maxconn 200000`: "maxconn 200",
	})
	for text, with := range replace {
		pattern := regexp.MustCompile(text)
		if !pattern.MatchString(config) {
			t.Fatalf("%s has no %s", haproxyConfig, text)
		}
		config = pattern.ReplaceAllLiteralString(config, with)
	}
	return config
}

// runHaproxy runs haproxy with sockets that listen already, and returns what it says.
func runHaproxy(t testing.TB, config string, sockets ...*os.File) *testkit.Log {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, output := haproxyCommand(t, "-db", "-f", file), new(testkit.Log)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = output, output, sockets
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy says: %s", output.String())
		}
	})
	return output
}

// listeningSocket is a socket for a process that is to be started, and its address.
func listeningSocket(t testing.TB) (*os.File, string) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, l.Addr().String()
}

// loud are the lines that somebody would have to look at.
func (s *server) loud() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.log {
		if !strings.Contains(line, `"level":"INFO"`) && !strings.Contains(line, `"level":"DEBUG"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestBehindHaproxy: the devices' own addresses are known, plain and over TLS, and haproxy's checks disturb nobody.
func TestBehindHaproxy(t *testing.T) {
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ca, store := newCertificateAuthority(t), embeddedStore(t)
			ca.renew(90)
			s := startServer(t, ca.settings(store, "TLS_PORT", "0", "TLS_DETECT", "true", "PROXY_PROTOCOL_FROM", "127.0.0.0/8"))
			plain, secure := startHaproxy(t, s, version)
			for imei, c := range map[string]struct {
				device    *testkit.Tracker
				transport string
			}{
				"356307042441013": {testkit.Dial(t, plain), "tcp"},
				"356307042441014": {dialTLS(t, plain, ca.trusting()), "tls"},
				"356307042441015": {dialTLS(t, secure, ca.trusting()), "tls"},
			} {
				c.device.MustLogin(imei)
				sendOne(c.device, recordTime)
				local := c.device.Conn.LocalAddr().String()
				if d := s.device(imei); d.Address != local || d.Transport != c.transport {
					t.Errorf("%s of %s over %s is shown as %+v", imei, local, c.transport, d)
				}
			}
			f := startFleet(t, plain, 20, nil)
			g := startFleet(t, secure, 20, func(o *simulate.Options) { o.IMEIBase += 1000; overTLS(ca.trusting())(o) })
			f.awaitProgress(t, 500)
			g.awaitProgress(t, 500)
			testkit.Eventually(t, "many checks", func() bool {
				return s.series("teltonika_connections_closed_total", `reason="health_check"`) >= 40
			})
			f.end(t)
			g.end(t)
			s.wantBalance()
			if lines := s.loud(); len(lines) > 0 {
				t.Errorf("checks and devices make noise:\n%s", strings.Join(lines, "\n"))
			}
			for _, reason := range []string{"proxy_header", "rate_limited", "tls_handshake"} {
				if n := s.series("teltonika_connections_closed_total", `reason="`+reason+`"`); n != 0 {
					t.Errorf("%v connections closed as %s", n, reason)
				}
			}
			if code := s.stop(syscall.SIGTERM, patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
			store.wantAll(t, append(f.acknowledged(), g.acknowledged()...), false)
		})
	}
}

// TestHaproxyThatSpeaks: haproxy's checks that do a handshake or log in find a server that is up, and one that they log
// in to is no less quiet.
func TestHaproxyThatSpeaks(t *testing.T) {
	for name, c := range map[string]struct{ options, backend string }{
		"handshake, v1": {"send-proxy check check-send-proxy check-ssl verify none", ""},
		"handshake, v2": {"send-proxy-v2 check check-send-proxy check-ssl verify none", ""},
		"login": {"send-proxy-v2 check check-send-proxy check-ssl verify none",
			" option tcp-check\n tcp-check connect default\n tcp-check send-binary 000f333536333037303432343431303133\n " +
				"tcp-check expect binary 00\n"},
		"nonsense": {"send-proxy-v2 check check-send-proxy",
			" option tcp-check\n tcp-check connect default\n tcp-check send-binary 2020\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := newCertificateAuthority(t)
			ca.renew(90)
			list := filepath.Join(t.TempDir(), "devices")
			if err := os.WriteFile(list, []byte("356307042441014\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "TLS_DETECT", "true", "PROXY_PROTOCOL_FROM",
				"127.0.0.1",
				"STRICT_DEVICE_AUTH", "true", "DEVICE_AUTHORITY_MODE", "file_allow_list", "DEVICE_ALLOW_LIST", list))
			socket, front := listeningSocket(t)
			output := runHaproxy(t,
				fmt.Sprintf("global\n log stdout format raw local0\ndefaults\n mode tcp\n log global\n option log-health-checks\n"+
					" timeout connect 30s\n timeout client 30s\n timeout server 30s\n timeout check 30s\n"+
					"frontend front\n bind fd@3\n default_backend back\nbackend back\n%s server-template one 20 %s %s inter 2s "+
					"fall 1\n",
					c.backend, s.devices, c.options), socket)
			testkit.Eventually(t, "many checks", func() bool {
				return s.series("teltonika_connections_closed_total", `reason="health_check"`) >= 20
			})
			if text := output.String(); strings.Contains(text, "DOWN") || strings.Contains(text, "failed") ||
				!strings.Contains(text, "succeeded") {
				t.Errorf("haproxy says: %s", text)
			}
			dialTLS(t, front, ca.trusting()).MustLogin("356307042441014")
			if lines := s.loud(); len(lines) > 0 {
				t.Errorf("checks make noise:\n%s", strings.Join(lines, "\n"))
			}
			for _, reason := range []string{"proxy_header", "rate_limited", "tls_handshake", "rejected", "malformed_login"} {
				if n := s.series("teltonika_connections_closed_total", `reason="`+reason+`"`); n != 0 {
					t.Errorf("%v connections closed as %s", n, reason)
				}
			}
		})
	}
}

// TestOneClientBehindABalancer: when there is no room for all, a client's connections that have not logged in go for
// everybody else's, whether or not they have begun TLS.
func TestOneClientBehindABalancer(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	const places, tooMany = 200, 50
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "PROXY_PROTOCOL_FROM", "127.0.0.1",
		"MAX_CONNECTIONS", fmt.Sprint(places)))
	slow := testkit.Dial(t, s.devices)
	slow.Send(proxyV1("203.0.113.10"))
	secure := s.address("devices-tls")
	for range places - 1 + tooMany {
		testkit.Dial(t, secure).Send(proxyV1("203.0.113.9")) // and silence
	}
	crowdedOut := func() float64 { return s.series("teltonika_connections_closed_total", `reason="crowded_out"`) }
	testkit.Eventually(t, "the client makes room for itself", func() bool { return crowdedOut() == tooMany })
	device := testkit.Dial(t, s.devices)
	device.Send(proxyV1("203.0.113.11"))
	device.MustLogin("356307042441013")
	slow.MustLogin("356307042441014") // the oldest of all, but its client has no other
	testkit.Eventually(t, "the client makes room for others", func() bool { return crowdedOut() == tooMany+1 })
	s.wantMetric("teltonika_connections_active", places)
}

// proxyV1 is the header of a balancer for a client.
func proxyV1(client string) []byte {
	return fmt.Appendf(nil, "PROXY TCP4 %s 192.0.2.1 40000 5027\r\n", client)
}

// TestHeaderFromAStranger: who is no balancer of ours cannot say that he is somebody else.
func TestHeaderFromAStranger(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "PROXY_PROTOCOL_FROM", "192.0.2.0/24"))
	for address, reason := range map[string]string{s.devices: "malformed_login",
		s.address("devices-tls"): "tls_handshake"} {
		liar := testkit.Dial(t, address)
		liar.Send(proxyV1("203.0.113.9"))
		liar.ExpectClosed()
		testkit.Eventually(t, "closed as "+reason, func() bool {
			return s.series("teltonika_connections_closed_total", `reason="`+reason+`"`) == 1
		})
	}
	if lines := s.wantLines("login malformed", 1); !strings.HasPrefix(lines[0]["remote"].(string), "127.0.0.1:") {
		t.Errorf("logged: %v", lines)
	}
	if lines := s.wantLines("tls handshake failed", 1); !strings.Contains(lines[0]["cause"].(string), "PROXY") {
		t.Errorf("logged: %v", lines)
	}
	testkit.Dial(t, s.devices).MustLogin("356307042441013")
}

// TestBalancerWithoutHeader: from a balancer's address nobody gets in without a header, or with a wrong one.
func TestBalancerWithoutHeader(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_DETECT", "true", "PROXY_PROTOCOL_FROM", "127.0.0.1",
		"HANDSHAKE_TIMEOUT", "5s"))
	slow := testkit.Dial(t, s.devices)
	slow.Send([]byte("PROXY "))
	refused := func(reason string) float64 {
		return s.series("teltonika_proxy_headers_refused_total", `reason="`+reason+`"`)
	}
	device := testkit.Dial(t, s.devices)
	device.SendLogin("356307042441013")
	device.ExpectClosed()
	if conn, err := tls.Dial("tcp", s.devices, ca.trusting()); err == nil {
		conn.Close()
		t.Error("a device gets in by TLS without a header")
	}
	testkit.Eventually(t, "missing headers are counted", func() bool { return refused("missing") == 2 })
	device = testkit.Dial(t, s.devices)
	device.Send([]byte("PROXY TCP4 nobody\r\n"))
	device.ExpectClosed()
	testkit.Eventually(t, "a wrong header is counted", func() bool { return refused("malformed") == 1 })
	testkit.Eventually(t, "connections closed for their header are counted", func() bool {
		return s.series("teltonika_connections_closed_total", `reason="proxy_header"`) == 3
	})
	slow.ExpectClosed()
	testkit.Eventually(t, "a header that does not come is counted", func() bool { return refused("timeout") == 1 })
	s.wantLines("proxy header refused", 4)

	// With a header it is the client whose logins count: one that has used up its allowance shuts out nobody else.
	testkit.Eventually(t, "the client is limited", func() bool {
		var together sync.WaitGroup
		for range 100 {
			together.Go(func() {
				conn, err := net.Dial("tcp", s.devices)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				conn.Write(append(proxyV1("203.0.113.9"), 0xEE, 0xEE))
				io.Copy(io.Discard, conn)
			})
		}
		together.Wait()
		return s.series("teltonika_connections_closed_total", `reason="rate_limited"`) > 0
	})
	device = testkit.Dial(t, s.devices)
	device.Send(proxyV1("203.0.113.10"))
	device.MustLogin("356307042441013")
	if d := s.device("356307042441013"); d.Address != "203.0.113.10:40000" {
		t.Errorf("the device is shown as %+v", d)
	}
}

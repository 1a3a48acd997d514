package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// address is where the server listens for that, from its log.
func (s *server) address(what string) string {
	s.t.Helper()
	return s.addresses(what, 1)[0]
}

// addresses are where the server listens for that, once there are so many.
func (s *server) addresses(what string, n int) (found []string) {
	s.t.Helper()
	testkit.Eventually(s.t, "listening for "+what, func() bool {
		found = nil
		for _, line := range s.lines("listening") {
			if line["for"] == what {
				found = append(found, line["address"].(string))
			}
		}
		return len(found) >= n
	})
	return found
}

// lines are the lines with the message that have been logged.
func (s *server) lines(message string) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []map[string]any
	for _, text := range s.log {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// series is the value of the metric's one series with these labels, such as `reason="tls_handshake"`.
func (s *server) series(name string, labels ...string) float64 {
	s.t.Helper()
	_, body := s.get("/metrics")
	sum := 0.0
search:
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, name+"{") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(line, label) {
				continue search
			}
		}
		var value float64
		if err := json.Unmarshal([]byte(line[strings.LastIndexByte(line, ' ')+1:]), &value); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		sum += value
	}
	return sum
}

// device is what the API says of a device that is connected.
func (s *server) device(imei string) admin.Device {
	s.t.Helper()
	var d admin.Device
	code, out, errOut := execute(s.t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "devices", "--json", "--imei", imei)
	if code != 0 {
		s.t.Fatalf("devices: exit code %d: %s", code, errOut)
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		s.t.Fatalf("%s: %v", out, err)
	}
	return d
}

// dialTLS connects a tracker that speaks TLS.
func dialTLS(t testing.TB, address string, c *tls.Config) *testkit.Tracker {
	t.Helper()
	conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: c}).Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return testkit.NewTracker(t, conn)
}

// patient has a simulated fleet break no connection because the machine is busy.
func patient(o *simulate.Options) { o.ResponseTimeout = patience }

// overTLS has a simulated fleet speak TLS.
func overTLS(c *tls.Config) func(*simulate.Options) {
	return func(o *simulate.Options) {
		address := o.Address
		o.Dial = func(ctx context.Context, _ int) (net.Conn, error) {
			return (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", address)
		}
	}
}

// sendOne sends a record and takes its ACK.
func sendOne(device *testkit.Tracker, at uint64) {
	device.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: at, Priority: 1})
	device.ExpectACK(1)
}

const recordTime = 1560161086000 // ms

// TestTLSBesidePlain: TLS on its own port, and on the same one as plain.
func TestTLSBesidePlain(t *testing.T) {
	t.Parallel()
	ca, store := newCertificateAuthority(t), embeddedStore(t)
	ca.renew(90)
	s := startServer(t, ca.settings(store, "TLS_PORT", "0", "TLS_DETECT", "true"))
	secure := s.address("devices-tls")

	for imei, c := range map[string]struct {
		device    *testkit.Tracker
		transport string
	}{
		"356307042441013": {testkit.Dial(t, s.devices), "tcp"},
		"356307042441014": {dialTLS(t, s.devices, ca.trusting()), "tls"},
		"356307042441015": {dialTLS(t, secure, ca.trusting()), "tls"},
	} {
		c.device.MustLogin(imei)
		sendOne(c.device, recordTime)
		d := s.device(imei)
		if local := c.device.Conn.LocalAddr().String(); d.Transport != c.transport || d.Address != local || d.Records != 1 {
			t.Errorf("%s of %s over %s is shown as %+v", imei, local, c.transport, d)
		}
	}
	plain := startFleet(t, s.devices, 20, patient)
	detected := startFleet(t, s.devices, 20, func(o *simulate.Options) {
		patient(o)
		o.IMEIBase += 1000
		overTLS(ca.trusting())(o)
	})
	apart := startFleet(t, secure, 20, func(o *simulate.Options) {
		patient(o)
		o.IMEIBase += 2000
		overTLS(ca.trusting())(o)
	})
	var acknowledged []string
	for _, f := range []*fleet{plain, detected, apart} {
		f.awaitProgress(t, 500)
	}
	for _, f := range []*fleet{plain, detected, apart} {
		if l := f.end(t); l.ConnectFailures > 0 || l.Interrupted > 0 {
			t.Errorf("%d connections failed, %d broke: %s", l.ConnectFailures, l.Interrupted, l.LastFailure)
		}
		acknowledged = append(acknowledged, f.acknowledged()...)
	}
	s.wantBalance()
	if n := s.series("teltonika_tls_handshakes_total", `result="ok"`) +
		s.series("teltonika_tls_handshakes_total", `result="resumed"`); n != 42 {
		t.Errorf("%v handshakes", n)
	}
	for transport, want := range map[string]int{"tcp": 1 + plain.count(), "tls": 2 + detected.count() + apart.count()} {
		if n := s.series("teltonika_records_received_total", `transport="`+transport+`"`); n != float64(want) {
			t.Errorf("%v records received over %s, want %d", n, transport, want)
		}
	}
	if days := s.metric("teltonika_tls_certificate_expiry_seconds") / 86400; days < 89 || days > 91 {
		t.Errorf("%v days left", days)
	}
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	store.wantAll(t, acknowledged, false)
}

// TestDoorsThatStayShut: who does not come in over TLS is counted and logged for what he did.
func TestDoorsThatStayShut(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "TLS_DETECT", "true", "HANDSHAKE_TIMEOUT", "2s",
		"LOG_LEVEL", "debug"))
	secure := s.address("devices-tls")
	connect := func(address string, first []byte) {
		conn := testkit.Dial(t, address)
		conn.Send(first)
		conn.Conn.SetReadDeadline(time.Now().Add(patience))
		for b := make([]byte, 64); ; {
			if _, err := conn.Conn.Read(b); err != nil {
				break // the server has closed
			}
		}
	}
	stranger := newCertificateAuthority(t)
	for _, c := range []struct {
		name, handshake, closed string
		do                      func()
	}{
		{"silent on the TLS port", "timeout", "tls_handshake", func() { connect(secure, nil) }},
		{"silent within the hello", "timeout", "tls_handshake", func() { connect(secure, []byte{0x16, 3, 1}) }},
		{"silent within the hello on the common port", "timeout", "tls_handshake", func() {
			connect(s.devices, []byte{0x16, 3, 1})
		}},
		{"silent on the common port", "", "handshake_timeout", func() { connect(s.devices, nil) }},
		{"plain on the TLS port", "plain_data", "tls_handshake", func() {
			connect(secure, []byte("\x00\x0f356307042441013"))
		}},
		{"does not trust us", "untrusted_ca", "tls_handshake", func() {
			if conn, err := tls.Dial("tcp", secure, stranger.trusting()); err == nil {
				conn.Close()
				t.Error("trusts a certificate of another CA")
			}
		}},
		{"speaks TLS 1.1", "unsupported_version", "tls_handshake", func() {
			old := ca.trusting()
			old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			if conn, err := tls.Dial("tcp", secure, old); err == nil {
				conn.Close()
				t.Error("TLS 1.1 is spoken")
			}
		}},
	} {
		closed := func() float64 { return s.series("teltonika_connections_closed_total", `reason="`+c.closed+`"`) }
		failed := func() float64 { return s.series("teltonika_tls_handshakes_total", `result="`+c.handshake+`"`) }
		wasClosed, hadFailed := closed(), failed()
		c.do()
		testkit.Eventually(t, c.name+": closed as "+c.closed, func() bool { return closed() == wasClosed+1 })
		if c.handshake == "" {
			continue
		}
		testkit.Eventually(t, c.name+": failed as "+c.handshake, func() bool { return failed() == hadFailed+1 })
		testkit.Eventually(t, c.name+": said in the log", func() bool {
			lines := s.lines("tls handshake failed")
			return len(lines) > 0 && lines[len(lines)-1]["reason"] == c.handshake && lines[len(lines)-1]["cause"] != ""
		})
	}
}

// TestCertificateOfTheDevice: only the device that the certificate names may log in with it.
func TestCertificateOfTheDevice(t *testing.T) {
	t.Parallel()
	const imei, other = "356307042441013", "356307042441014"
	ca := newCertificateAuthority(t)
	ca.renew(90)
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "TLS_CLIENT_CA_FILE", ca.path("ca.crt"),
		"TLS_CLIENT_AUTH", "require", "TLS_BIND_IMEI", "true"))
	secure, own := s.address("devices-tls"), ca.deviceOf(imei)

	device := dialTLS(t, secure, own)
	device.MustLogin(imei)
	sendOne(device, recordTime)

	intruder := dialTLS(t, secure, own)
	if answer := intruder.Login(other); answer != teltonika.LoginRefuse {
		t.Errorf("login as another device answered with %02x", answer)
	}
	intruder.ExpectClosed()
	testkit.Eventually(t, "the refusal is logged", func() bool {
		return s.logged("login refused, the certificate is another device's")
	})

	without := ca.trusting()
	without.MaxVersion = tls.VersionTLS12 // in 1.3 the client is done before the server looks
	if conn, err := tls.Dial("tcp", secure, without); err == nil {
		conn.Close()
		t.Error("a device without a certificate gets in")
	}
	testkit.Eventually(t, "the missing certificate is counted", func() bool {
		return s.series("teltonika_tls_handshakes_total", `result="client_certificate"`) == 1
	})
	sendOne(device, recordTime+1000)
}

// TestCertificateRenewedUnderLoad: by SIGHUP and by the files alone, while devices talk and others come. No
// session ends, and what is no certificate leaves the one in use.
func TestCertificateRenewedUnderLoad(t *testing.T) {
	t.Parallel()
	ca, store := newCertificateAuthority(t), redisStore(t)
	ca.renew(30)
	s := startServer(t, ca.settings(store, "TLS_PORT", "0"))
	secure := s.address("devices-tls")
	steady := startFleet(t, secure, 20, func(o *simulate.Options) {
		patient(o)
		o.Rate = 1000
		overTLS(ca.trusting())(o)
	})
	moving := startFleet(t, secure, 5, func(o *simulate.Options) {
		patient(o)
		o.IMEIBase += 1000
		o.Reconnect, o.Rate = 0.2, 200
		overTLS(ca.trusting())(o)
	})
	awaitSerial := func(want string) {
		t.Helper()
		testkit.Eventually(t, "new connections get the certificate "+want, func() bool {
			return serialAt(t, secure, ca.trusting()) == want
		})
		steady.awaitProgress(t, 100)
		moving.awaitProgress(t, 20)
	}
	steady.awaitProgress(t, 100)
	for day := range 4 {
		serial := ca.renew(31 + day)
		s.cmd.Process.Signal(syscall.SIGHUP)
		awaitSerial(serial)
	}
	good := ca.renew(60)
	s.cmd.Process.Signal(syscall.SIGHUP)
	awaitSerial(good)

	for _, spoil := range []func(){
		func() { ca.write("server.crt", "CERTIFICATE", []byte("nothing")) },
		func() { os.Remove(ca.path("server.crt")) },
		func() { ca.write("server.crt", "CERTIFICATE", ca.certificate.Raw) }, // not the key's
	} {
		said := len(s.lines("tls certificate not reloaded"))
		spoil()
		s.cmd.Process.Signal(syscall.SIGHUP)
		testkit.Eventually(t, "the log says what is wrong", func() bool {
			return len(s.lines("tls certificate not reloaded")) > said
		})
		awaitSerial(good)
	}
	if n := s.series("teltonika_tls_certificate_reloads_total", `result="failed"`); n < 3 {
		t.Errorf("%v failed reloads", n)
	}
	// The files are watched as well.
	testkit.Eventually(t, "the watch says so too", func() bool {
		return s.logged("tls certificate not usable, the one in use stays")
	})
	awaitSerial(good)
	awaitSerial(ca.renew(90))

	if l := steady.end(t); l.Connections != 20 || l.Interrupted > 0 || l.ConnectFailures > 0 {
		t.Errorf("%d connections of 20 devices, %d broken: %s", l.Connections, l.Interrupted, l.LastFailure)
	}
	if l := moving.end(t); l.Interrupted > 0 || l.ConnectFailures > 0 {
		t.Errorf("%d connections broken, %d not made: %s", l.Interrupted, l.ConnectFailures, l.LastFailure)
	}
	s.wantBalance()
	store.wantAll(t, append(steady.acknowledged(), moving.acknowledged()...), false)
}

// serialAt is the serial number of the certificate that a new connection gets.
func serialAt(t testing.TB, address string, c *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestKillServerOverTLS is TestKillServer for devices that speak TLS.
func TestKillServerOverTLS(t *testing.T) {
	t.Parallel()
	ca, store := newCertificateAuthority(t), embeddedStore(t)
	ca.renew(90)
	s := startServer(t, ca.settings(store, "TLS_DETECT", "true"))
	_, port, _ := strings.Cut(s.devices, ":")
	settings := ca.settings(store, "TLS_DETECT", "true", "TELTONIKA_PORT", port)
	f := startFleet(t, s.devices, 40, func(o *simulate.Options) { chatty(o); overTLS(ca.trusting())(o) })
	f.amidKills(t, s, settings, crashTime(t)/3)
	store.wantAll(t, f.acknowledged(), false)
}

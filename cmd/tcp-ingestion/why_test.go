package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// doors are two instances with every door there is, devices of a strict list before them, and who asks why.
type doors struct {
	*testing.T
	a, b             *server
	records, control *testkit.Redis
	list             string // the file of known devices
	known            []string
	secure, udp      string
	trusting         *tls.Config
}

// knownDevices is how many devices are on the list.
const knownDevices = 60

// aDevice is the n-th of them, with a right check digit.
func aDevice(n int) string {
	body := fmt.Sprintf("35630704244%03d", n)
	for check := range 10 {
		sum := 0
		for i, c := range fmt.Sprint(body, check) {
			if d := int(c - '0'); i%2 == 1 {
				sum += d*2/10 + d*2%10
			} else {
				sum += d
			}
		}
		if sum%10 == 0 {
			return fmt.Sprint(body, check)
		}
	}
	panic("no digit")
}

const theBalancer = "127.0.0.8"

func startDoors(t *testing.T) *doors {
	ca := newCertificateAuthority(t)
	ca.renew(90)
	d := &doors{T: t, records: testkit.StartRedis(t), control: testkit.StartRedis(t), trusting: ca.trusting()}
	for n := range knownDevices {
		d.known = append(d.known, aDevice(n))
	}
	settings, path := fileAllowList(t, "true", strings.Join(d.known, "\n")+"\n")
	delete(settings, "DATA_DIR")
	d.list = path
	start := func(instance string, more ...string) *server {
		own := maps.Clone(settings)
		for i := 0; i < len(more); i += 2 {
			own[more[i]] = more[i+1]
		}
		own["INSTANCE_ID"], own["REDIS_URL"], own["CONTROL_REDIS_URL"] = instance, d.records.URL(), d.control.URL()
		own["PUBLISH_TIMEOUT"], own["PUBLISH_QUEUE_CAPACITY"], own["HANDSHAKE_TIMEOUT"] = "6s", "300", "2s"
		return startServer(t, own)
	}
	d.a = start("a", "TLS_PORT", "0", "UDP_PORT", "0", "PROXY_PROTOCOL_FROM", theBalancer,
		"TLS_CERT_FILE", ca.path("server.crt"), "TLS_KEY_FILE", ca.path("server.key"))
	d.b = start("b")
	d.secure, d.udp = d.a.address("devices-tls"), d.a.address("devices-udp")
	return d
}

// dial connects from an address of this machine.
func (d *doors) dial(from, to string) *testkit.Tracker {
	d.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		d.Fatal(err)
	}
	return testkit.NewTracker(d, conn)
}

// says has somebody from an address say something at a door, and leave when that is heard.
func (d *doors) says(from, to, what string) {
	d.Helper()
	one := d.dial(from, to)
	one.Send([]byte(what))
	if _, err := one.Conn.Read(make([]byte, 1)); err == nil && to != d.a.http && to != d.a.admin {
		d.Errorf("%q is answered", what)
	}
	one.Close()
}

// seen connects a device that stores a record.
func (d *doors) seen(n int, from string) *testkit.Tracker {
	d.Helper()
	one := d.dial(from, d.a.devices)
	one.MustLogin(aDevice(n))
	d.stores(one)
	return one
}

func (d *doors) stores(one *testkit.Tracker) {
	d.Helper()
	d.sends(one, goodRecord())
}

func (d *doors) sends(one *testkit.Tracker, r teltonika.Record) {
	d.Helper()
	one.SendFrame(teltonika.Codec8E, r)
	one.ExpectACK(1)
}

// lastGood is the time of the last goodRecord: one of the same millisecond would be the same record again.
var lastGood uint64

func goodRecord() teltonika.Record {
	now := max(uint64(time.Now().UnixMilli()), lastGood+1)
	lastGood = now
	return teltonika.Record{Timestamp: now, Latitude: 546674250, Longitude: 252560283,
		Satellites: 11}
}

// ask is the program in this process, asking an instance.
func ask(s *server, args ...string) (code int, out, errOut string) {
	var shown, told bytes.Buffer
	code = run(context.Background(), append([]string{"tcp-ingestion"}, append(args, "--admin-address", s.admin)...),
		strings.NewReader(""), &shown, &told)
	return code, shown.String(), told.String()
}

// why waits until the verdict on a device is this one, and says so in its evidence or its next step.
func (d *doors) why(imei string, code verdict.Code, exit int, says string) {
	d.Helper()
	d.whyAt(d.a, imei, code, exit, says)
}

func (d *doors) whyAt(s *server, imei string, code verdict.Code, exit int, says string) {
	d.Helper()
	var last string
	defer func() {
		if d.Failed() {
			d.Logf("last asked: %s", last)
		}
	}()
	testkit.EventuallyIn(d, fmt.Sprintf("%s is %s", imei, code), 20*time.Second, func() bool {
		got, out, errOut := ask(s, "why", "--json", imei)
		last = out + errOut
		var it admin.Diagnosis
		if json.Unmarshal([]byte(out), &it) != nil || it.Verdict.Code != code {
			return false
		}
		if all := fmt.Sprint(it.Verdict); got != exit || !strings.Contains(all, says) || it.IMEI != imei {
			d.Errorf("%s: exit code %d, want %d, and %q: %s", imei, got, exit, says, out)
		}
		return true
	})
}

// TestWhy has devices in every situation that support is asked about, and asks why they cannot be seen.
func TestWhy(t *testing.T) {
	d := startDoors(t)
	silent := d.dial("127.0.0.1", d.a.devices)
	silent.MustLogin(aDevice(0))
	for name, situations := range map[string]func(*doors){
		"doors": wrongDoors, "foreign protocols": foreignProtocols, "what is sent": whatIsSent, "who it is": whoItIs,
	} {
		t.Run(name, func(t *testing.T) {
			own := *d
			own.T = t
			situations(&own)
		})
	}
	t.Run("engine", func(t *testing.T) { own := *d; own.T = t; engineTroubles(&own) })
	t.Run("all", func(t *testing.T) { own := *d; own.T = t; allProblems(&own) })
	d.why(aDevice(0), "silent", 1, "send "+aDevice(0)+" getinfo")
}

// wrongDoors are devices that knock where nobody can let them in.
func wrongDoors(d *doors) {
	login := func(n int) string { return "\x00\x0f" + aDevice(n) }
	d.why("999999999999999", "never_seen", 2, "2005 port")
	d.says("127.0.0.1", d.secure, login(1))
	d.why(aDevice(1), "plain_on_tls", 1, "parameter 2020")
	d.says("127.0.0.1", d.a.http, login(2))
	d.why(aDevice(2), "on_http_port", 1, "TELTONIKA_PORT")
	d.says("127.0.0.1", d.a.admin, login(3))
	d.why(aDevice(3), "on_http_port", 1, "admin port")
	d.says(theBalancer, d.a.devices, login(4))
	d.why(aDevice(4), "proxy_missing", 1, "send-proxy-v2")
	d.says("127.0.0.1", d.a.devices, "PROXY TCP4 192.0.2.1 192.0.2.2 4000 5027\r\n"+login(5))
	d.why(aDevice(5), "proxy_untrusted", 1, "PROXY_PROTOCOL_FROM")
	d.says("127.0.0.1", d.a.devices, unhex(d, "003dcafe0105000f")+aDevice(6)+"\x08\x01")
	d.why(aDevice(6), "udp_on_tcp", 1, "parameter 2006")
	datagram, err := net.Dial("udp", d.udp)
	if err != nil {
		d.Fatal(err)
	}
	defer datagram.Close()
	datagram.Write([]byte(login(7)))
	d.why(aDevice(7), "tcp_on_udp", 1, "parameter 2006")

	// Encrypted bytes do not say whose they are: the address does, if the device was seen there.
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	d.says("127.0.0.20", d.a.devices, hello)
	d.why("999999999999998", "never_seen", 2, "TLS on the plain port")
	d.seen(8, "127.0.0.21").Close()
	d.why(aDevice(8), "left", 0, "peer_closed")
	d.says("127.0.0.21", d.a.devices, hello)
	d.why(aDevice(8), "tls_on_plain", 1, "is the one that this device had last")
	d.seen(8, "127.0.0.21").Close() // which is mended
	d.why(aDevice(8), "left", 0, "peer_closed")
	conn := tls.Client(d.dial("127.0.0.21", d.secure).Conn, d.trusting)
	if err := conn.Handshake(); err != nil {
		d.Fatal(err)
	}
	conn.Close()
	d.why(aDevice(8), "tls_unused", 1, "does not trust the certificate")
}

// foreignProtocols are devices that speak another language at the right door.
func foreignProtocols(d *doors) {
	number := func(n int) string {
		var imei uint64
		fmt.Sscan(aDevice(n), &imei)
		return string(binary.BigEndian.AppendUint64(nil, imei))
	}
	for n, c := range map[int]struct{ what, name string }{
		10: {"\x10\x1b\x00\x04MQTT\x04\x02\x00\x3c\x00\x0f" + aDevice(10), "MQTT"},
		11: {"GET /?id=" + aDevice(11) + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"},
		12: {unhex(d, "01012f00000000000000000000000000") + aDevice(12), "AT2000"},
		13: {unhex(d, "00000005") + number(13) + "\x00\x00\x00\x00", "DualCam"},
		14: {unhex(d, "78780d01") + unhex(d, "0"+aDevice(14)) + unhex(d, "00016b710d0a"), "GT06"},
	} {
		d.says("127.0.0.1", d.a.devices, c.what)
		d.why(aDevice(n), "foreign_protocol", 1, c.name)
	}
	d.says("127.0.0.1", d.a.devices, hex.EncodeToString([]byte("\x00\x0f"+aDevice(15))))
	d.why(aDevice(15), "hex_text", 1, "two bytes")
	d.says("127.0.0.1", d.a.devices, "\x00\x11"+aDevice(16)+"\r\n")
	d.why(aDevice(16), "malformed_login", 1, "two bytes of length")
	d.seen(17, "127.0.0.22").Close()
	d.says("127.0.0.22", d.a.devices, unhex(d, "0100020b002300020001871c000200000101051900"))
	d.why(aDevice(17), "foreign_protocol", 1, "EGTS")
	d.seen(18, "127.0.0.23").Close()
	d.says("127.0.0.23", d.a.devices, string(goodFrameOf(d)))
	d.why(aDevice(18), "frame_first", 1, "login")
	d.seen(19, "127.0.0.24").Close()
	cut := d.dial("127.0.0.24", d.a.devices)
	cut.Send([]byte("\x00\x0f" + aDevice(19))[:9])
	cut.Close()
	d.why(aDevice(19), "login_cut_off", 1, "MTU")
}

func unhex(tb testing.TB, s string) string {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func goodFrameOf(d *doors) []byte {
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: []teltonika.Record{goodRecord()}}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		d.Fatal(err)
	}
	return frame
}

// whatIsSent are devices that get in and whose data are not what they should be.
func whatIsSent(d *doors) {
	one := d.seen(20, "127.0.0.1")
	d.why(aDevice(20), "fine", 0, "tail --imei")

	wrong := goodFrameOf(d)
	wrong[len(wrong)-1] ^= 1
	one.Send(wrong)
	d.why(aDevice(20), "wrong_crc", 1, "1 frames with a wrong CRC")
	d.stores(one)
	d.why(aDevice(20), "fine", 0, "")
	for range 3 {
		one.Send(wrong)
	}
	one.ExpectClosed()
	d.why(aDevice(20), "wrong_crc", 1, "crc")
	again := d.dial("127.0.0.1", d.a.devices) // whose login has to wait for it
	again.MustLogin(aDevice(20))
	d.why(aDevice(20), "login_delayed", 1, "after 1s")

	empty := d.seen(21, "127.0.0.1")
	for range 3 {
		empty.Send(teltonika.AppendFrame(nil, []byte{8, 0, 0}))
		empty.ExpectACK(0)
	}
	d.why(aDevice(21), "zero_records", 1, "3 frames without a record")

	deaf := d.seen(22, "127.0.0.1")
	frame := goodFrameOf(d)
	for range 4 {
		deaf.Send(frame)
		deaf.ExpectACK(1)
	}
	d.why(aDevice(22), "duplicates", 1, "3 duplicate records")

	bad := d.seen(23, "127.0.0.1")
	body := goodFrameOf(d)
	body = body[8 : len(body)-4]
	body[len(body)-1]++
	bad.Send(teltonika.AppendFrame(nil, body))
	bad.ExpectACK(1)
	d.why(aDevice(23), "dead_letters", 1, "1 records in dead letters")

	unknown := d.seen(24, "127.0.0.1")
	unknown.Send(teltonika.AppendFrame(nil, []byte{0x55, 1, 2, 1}))
	unknown.ExpectClosed()
	d.why(aDevice(24), "unknown_codec", 1, "parameter 113")

	cut := d.seen(25, "127.0.0.1")
	cut.Send(goodFrameOf(d)[:20])
	cut.Close()
	d.why(aDevice(25), "cut_off", 1, "20 of")

	for n, c := range map[int]struct {
		change func(*teltonika.Record)
		code   verdict.Code
	}{
		26: {func(r *teltonika.Record) { r.Satellites, r.Latitude, r.Longitude = 0, 0, 0 }, "no_fix"},
		27: {func(r *teltonika.Record) { r.Satellites = 0 }, "stale_fix"},
		28: {func(r *teltonika.Record) { r.Timestamp = uint64(time.Now().Add(time.Hour).UnixMilli()) }, "clock_future"},
		29: {func(r *teltonika.Record) { r.Timestamp = 946684800000 + uint64(time.Now().UnixMilli()%1e9) }, "clock_unset"},
	} {
		r := goodRecord()
		c.change(&r)
		one := d.dial("127.0.0.1", d.a.devices)
		one.MustLogin(aDevice(n))
		d.sends(one, r)
		d.why(aDevice(n), c.code, 1, "by its own clock")
	}
}

// whoItIs are devices that are refused, elsewhere, two, or gone.
func whoItIs(d *doors) {
	stranger := aDevice(knownDevices + 1)
	if answer := d.dial("127.0.0.1", d.a.devices).Login(stranger); answer != teltonika.LoginRefuse {
		d.Errorf("answer %02x", answer)
	}
	d.why(stranger, "not_listed", 1, "DEVICE_ALLOW_LIST")

	elsewhere := d.dial("127.0.0.1", d.b.devices)
	elsewhere.MustLogin(aDevice(30))
	d.stores(elsewhere)
	d.why(aDevice(30), "elsewhere", 0, "connected to b")
	d.whyAt(d.b, aDevice(30), "fine", 0, "connected to b")

	for range 3 {
		d.seen(31, "127.0.0.31")
		d.seen(31, "127.0.0.32")
	}
	d.why(aDevice(31), "two_devices", 1, "took over from 127.0.0.31")

	revoked := d.seen(32, "127.0.0.1")
	left := strings.Join(append(append([]string{}, d.known[:32]...), d.known[33:]...), "\n")
	if err := os.WriteFile(d.list, []byte(left), 0o644); err != nil {
		d.Fatal(err)
	}
	d.a.cmd.Process.Signal(syscall.SIGHUP)
	revoked.ExpectClosed()
	d.why(aDevice(32), "taken_off_list", 1, "revoked")

	days := time.Now().Add(-5*24*time.Hour - time.Minute)
	p := device.Presence{Instance: "c", Transport: "tcp", Address: "192.0.2.1:4000", CloseReason: "idle_timeout",
		FirstSeen: device.Time{Time: days}, LastSeen: device.Time{Time: days}, ClosedAt: device.Time{Time: days}}
	text, err := json.Marshal(p)
	if err != nil {
		d.Fatal(err)
	}
	d.control.Do("HSET", "device:"+aDevice(33), "presence", string(text))
	d.why(aDevice(33), "gone", 1, "5 days ago: idle_timeout")
}

// engineTroubles are devices whose records the engine does not take.
func engineTroubles(d *doors) {
	first, second := d.seen(40, "127.0.0.1"), d.seen(41, "127.0.0.1")
	d.records.Freeze()
	thaw := func() { d.records.Thaw() }
	defer thaw()
	many := func(n int) (all []teltonika.Record) {
		for i := range n {
			r := goodRecord()
			r.Timestamp += uint64(i)
			all = append(all, r)
		}
		return all
	}
	first.SendFrame(teltonika.Codec8, many(255)...)
	testkit.Eventually(d, "the queue holds them", func() bool {
		return d.a.metric("teltonika_publish_queue_depth") >= 255
	})
	second.SendFrame(teltonika.Codec8, many(100)...)
	d.why(aDevice(41), "queue_full", 1, "100 records refused")
	d.why(aDevice(40), "engine", 1, "readyz")
}

// allProblems lists those with a problem, the worst first, from any instance.
func allProblems(d *doors) {
	for _, s := range []*server{d.a, d.b} {
		testkit.Eventually(d, "the other instance has heard of all", func() bool {
			code, out, errOut := ask(s, "why", "--all", "--json")
			if code != 1 || errOut != "" {
				d.Errorf("exit code %d: %s", code, errOut)
			}
			return d.wantWorstFirst(out) >= 20
		})
	}
	code, out, errOut := execute(d, map[string]string{"ADMIN_ADDRESS": d.a.admin}, "", "why", "--all", "--limit", "3")
	if code != 1 || strings.Count(out, "\n") != 5 || !strings.Contains(out, "more: --limit 0") || errOut != "" {
		d.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

// wantWorstFirst counts the problems that are listed.
func (d *doors) wantWorstFirst(list string) (problems int) {
	d.Helper()
	rank := 0
	for line := range strings.Lines(list) {
		var it admin.Diagnosis
		if err := json.Unmarshal([]byte(line), &it); err != nil {
			d.Fatalf("%v: %s", err, line)
		}
		if it.Verdict.Rank < rank || it.Verdict.Severity != verdict.Problem {
			d.Errorf("%s behind rank %d", line, rank)
		}
		rank = it.Verdict.Rank
		problems++
	}
	return problems
}

// TestWhyUsage: what is wrong with the question has codes of its own.
func TestWhyUsage(t *testing.T) {
	for _, c := range []struct {
		code int
		args []string
	}{
		{64, []string{}}, {64, []string{"a", "b"}}, {64, []string{"../x"}}, {64, []string{"--all", oneIMEI}},
		{64, []string{"--all", "--limit", "-1"}}, {78, []string{"--admin-address", "off", oneIMEI}},
		{69, []string{"--admin-address", "127.0.0.1:1", oneIMEI}}, {64, []string{"--limit", "x", oneIMEI}},
	} {
		var out, errOut bytes.Buffer
		code := run(t.Context(), append([]string{"tcp-ingestion", "why"}, c.args...), strings.NewReader(""), &out, &errOut)
		if code != c.code || errOut.Len() == 0 || out.Len() > 0 {
			t.Errorf("%v: exit code %d, want %d: %s%s", c.args, code, c.code, out.String(), errOut.String())
		}
	}
}

// strangersAt are those that an instance knows.
func (s *server) strangersAt() (list admin.StrangerList) {
	s.t.Helper()
	response, err := http.Get("http://" + s.admin + "/v1/strangers")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// TestStrangersOutliveTheServer, also one that is killed a moment later.
func TestStrangersOutliveTheServer(t *testing.T) {
	settings := map[string]string{"DATA_DIR": t.TempDir()}
	s := startServer(t, settings)
	one := testkit.Dial(t, s.devices)
	one.Send([]byte("SSH-2.0-x\r\n"))
	one.ExpectClosed()
	testkit.Eventually(t, "it is known", func() bool { return len(s.strangersAt().Strangers) == 1 })
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s = startServer(t, settings)
	testkit.Eventually(t, "it is still known", func() bool {
		all := s.strangersAt().Strangers
		return len(all) == 1 && all[0].Protocol == "SSH"
	})
}

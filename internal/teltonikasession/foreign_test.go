package teltonikasession

import (
	"encoding/hex"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// foreignExamples are how connections of other protocols begin, as they are published, and what they are called.
var foreignExamples = []struct{ first, cause string }{
	{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS on the plain port"},
	{"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "not in PROXY_PROTOCOL_FROM"},
	{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", "not in PROXY_PROTOCOL_FROM"},
	{unhexed("003dcafe0105000f33353230393330383634303336353508010000016b4f815b30010000"),
		"UDP packets in a TCP connection"},
	{unhexed("01e4cafe0128000f333530303030303030303030313137"), "UDP packets in a TCP connection"},
	{unhexed("005b0000015b000f333532303934303839333937343634"), "UDP packets in a TCP connection"},
	{"000F333536333037303432343431303133", "hex digits as text"},
	{"000f333536333037303432343431303133\r\n", "hex digits as text"},
	{"00000000000000368e01000001905d35bd18", "hex digits as text"},
	{unhexed("000000000000003608010000016b40d8ea30"), "a frame before the login"},
	{unhexed("0000000500014320f5d2e5a500000000"), "DualCam"},
	{"\x10\x1a\x00\x04MQTT\x04\x02\x00\x3c\x00\x0e356307042441", "MQTT"},
	{"\x10\x9b\x01\x00\x04MQTT\x05\xc2\x00\x3c", "MQTT"},
	{"\x10\x12\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x04test", "MQTT"},
	{unhexed("0100020b002300020001871c000200000101051900"), "EGTS"},
	{unhexed("0100000b0003006c430004010000acfb"), "EGTS"},
	{unhexed("0100010b002200c06401f21700c1640171360d0001"), "EGTS"},
	{"GET / HTTP/1.1\r\nHost: example\r\n\r\n", "HTTP"},
	{"POST /api HTTP/1.1\r\n", "HTTP"},
	{"HEAD / HTTP/1.0\r\n\r\n", "HTTP"},
	{"OPTIONS / RTSP/1.0\r\n", "HTTP"},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"},
	{`{"state":{"reported":{"11":893}}}`, "Codec JSON"},
	{"SSH-2.0-OpenSSH_9.6\r\n", "SSH"},
	{unhexed("030000130ee000000000000100080003000000"), "RDP"},
	{unhexed("00000085ff534d4272000000001853c8"), "SMB"},
	{unhexed("0000006cfe534d4240000100"), "SMB"},
	{"*1\r\n$4\r\nPING\r\n", "Redis"},
	{"INFO\r\n", "Redis"},
	{unhexed("01012f00000000000000000000000000333537343534303731363237353938"), "AT2000"},
	{unhexed("78780d01035873505032680800016b710d0a"), "GT06"},
	{unhexed("79790008000f0000000000"), "GT06"},
	{"+RESP:GTFRI,270E03,867162025085234,", "Queclink"},
	{"##,imei:359586015829802,A;", "TK103"},
	{"*HQ,4109198974,V1,022110,A,", "H02"},
	{"$$A142,867844001851958,AAA,35,", "Meitrack"},
	{"#L#352093086403655;NA\r\n", "Wialon"},
	{unhexed("7e010000210138123456780000"), "JT/T 808"},
	{unhexed("002e000315bc70d3e2ff0f4f42443130302e3031"), "Ruptela"},
}

func unhexed(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// What is neither a login nor a frame, but well known, is called by its name, before the login and behind it.
func TestForeignProtocolsAreNamed(t *testing.T) {
	for _, c := range foreignExamples {
		for _, behind := range []bool{false, true} {
			serve(t, func(s *service) {
				d := s.dial()
				message, reason := "login malformed", ReasonMalformedLogin
				if behind {
					d = s.login()
					message, reason = "frame boundaries lost", ReasonBadFrame
				}
				if behind && strings.HasPrefix(c.cause, "a frame before") {
					return
				}
				d.send([]byte(c.first))
				d.expectClosed("")
				s.expectReason(reason)
				if s.log.Count(message) != 1 || s.log.Count("cause=") != 1 || s.log.Count(c.cause) == 0 {
					t.Errorf("%q is not called %s:\n%s", c.first, c.cause, s.log)
				}
			})
		}
	}
}

// Naming waits for nothing: two bytes are enough to see that there is no login.
func TestForeignProtocolOfWhichLittleHasArrived(t *testing.T) {
	for first, cause := range map[string]string{"GE": "HTTP", "\x16\x03": "TLS on the plain port", "PR": "PROXY",
		"\x16\x01": "", "zz": ""} {
		serve(t, func(s *service) {
			d := s.dial()
			d.send([]byte(first))
			d.expectClosed("")
			if s.log.Count("login malformed") != 1 || s.log.Count("cause=") != min(1, len(cause)) || s.log.Count(cause) == 0 ||
				s.log.Count("first="+hex.EncodeToString([]byte(first))) != 1 {
				t.Errorf("%q: logged:\n%s", first, s.log)
			}
		})
	}
}

// Logins and frames of devices are not taken for anything else, as far as the table is asked about them at all: when
// they are cut short.
func TestLoginsAreNotForeign(t *testing.T) {
	for _, id := range []string{imei, "1", "0000000000000", "00abcdef", "ImeiX"} {
		login := loginOf(id)
		for n := range len(login) {
			if p, known := stranger.Identify(login[:n]); known {
				t.Errorf("%x is called %s", login[:n], p.Text)
			}
		}
	}
}

// At most the first 16 bytes of a login are logged, and of a frame the header.
func TestLogsHoldNoPositions(t *testing.T) {
	serve(t, func(s *service) {
		frame := goodFrame(3)
		d := s.dial()
		d.send(frame)
		d.expectClosed("")
		d = s.login()
		d.send(frame[:len(frame)-1])
		d.conn.Close()
		d.answers()
		d = s.login()
		d.send(frame[1:]) // the reader has lost the boundaries
		d.answers()
		d.conn.Close()
		d.answers()
		for _, hidden := range [][]byte{frame[19:23], frame[23:27]} { // longitude and latitude
			if s.log.Count(hex.EncodeToString(hidden)) > 0 {
				t.Errorf("%x is in the log:\n%s", hidden, s.log)
			}
		}
	})
	if n := len(firstBytes(make([]byte, 2+teltonika.MaxLoginLength))); n != 2*maxFirstBytes {
		t.Errorf("%d hex digits", n)
	}
}

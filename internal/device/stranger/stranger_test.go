package stranger

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const imei = "356307042441013"

func unhexed(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// The IMEI is found however it is written, and nowhere else.
func TestFindIMEI(t *testing.T) {
	for _, c := range []struct{ first, imei, as string }{
		{"\x00\x0f" + imei, imei, AsLogin},
		{"\xff\xff\x00\x0f" + imei, imei, AsLogin},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 4000 5027\r\n\x00\x0f" + imei, imei, AsLogin},
		{unhexed("003dcafe0105000f") + imei + "\x08\x01", imei, AsLogin},
		{"\x00\x11" + imei + "\r\n", imei, AsText},
		{"##,imei:" + imei + ",A;", imei, AsText},
		{"GET /?id=" + imei + "&lat=1 HTTP/1.1\r\n", imei, AsHTTPPath},
		{"\x10\x1b\x00\x04MQTT\x04\x02\x00\x3c\x00\x0f" + imei, imei, AsClientID},
		{hex.EncodeToString([]byte("\x00\x0f" + imei)), imei, AsHexText},
		{strings.ToUpper(hex.EncodeToString([]byte("\x00\x0f"+imei))) + "\r\n", imei, AsHexText},
		{unhexed("78780d010356307042441013" + "0001b7"), imei, AsBCD},
		{unhexed("00000005" + fmt.Sprintf("%016x", 356307042441013) + "00000000"), imei, AsNumber},
		{unhexed("002e" + fmt.Sprintf("%016x", 356307042441013) + "ff2f4f"), imei, AsNumber},

		{"", "", ""},
		{"\x00\x0f35630704244101", "", ""},                                    // cut off
		{"1234567890123456", "", ""},                                          // 16 digits
		{unhexed("78780d010356307042441014" + "0001b7"), "", ""},              // a wrong check digit
		{unhexed("00000005" + fmt.Sprintf("%016x", 356307042441014)), "", ""}, // likewise
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", ""},
	} {
		if got, as := FindIMEI([]byte(c.first)); got != c.imei || as != c.as {
			t.Errorf("%q: %q as %q, want %q as %q", c.first, got, as, c.imei, c.as)
		}
	}
}

// What the door knows and what the first bytes say make the cause.
func TestDiagnosis(t *testing.T) {
	login := "\x00\x0f" + imei
	frame := unhexed("000000000000003608010000016b40d8ea30010000000000000000")
	for _, c := range []struct {
		door     Door
		cause    Cause
		first    string
		want     Cause
		protocol string
		text     string
	}{
		{DoorTCP, CauseMalformedLogin, "\x16\x03\x01\x02", CauseTLSOnPlain, "TLS", "TLS_DETECT"},
		{DoorTCP, CauseMalformedLogin, "PROXY TCP4 ", CauseProxyUntrusted, "PROXY header", "PROXY_PROTOCOL_FROM"},
		{DoorTCP, CauseMalformedLogin, frame, CauseFrameFirst, "Teltonika frame", "before the login"},
		{DoorTCP, CauseMalformedLogin, "000F3335", CauseHexText, "hex digits", "bytes"},
		{DoorTCP, CauseMalformedLogin, "zz", CauseMalformedLogin, "", "IMEI"},
		{DoorTCP, CauseCutOff, "GE", CauseForeign, "HTTP", "scanner"},
		{DoorTCP, CauseCutOff, login[:9], CauseCutOff, "", "MTU"},
		{DoorTLS, CausePlainOnTLS, login, CausePlainOnTLS, "", "without TLS"},
		{DoorTLS, CausePlainOnTLS, frame, CausePlainOnTLS, "Teltonika frame", "without TLS"},
		{DoorTLS, CausePlainOnTLS, "GET / HTTP/1.1", CausePlainOnTLS, "HTTP", "HTTP"},
		{DoorHTTP, CauseOnHTTP, login, CauseOnHTTP, "", "2005"},
		{DoorAdmin, CauseOnHTTP, "\x10\x12\x00\x04MQTT", CauseOnHTTP, "MQTT", "MQTT"},
		{DoorUDP, CauseNoDatagram, login, CauseTCPOnUDP, "", "2006"},
		{DoorUDP, CauseNoDatagram, frame, CauseTCPOnUDP, "Teltonika frame", "2006"},
		{DoorUDP, CauseNoDatagram, "GET / HTTP/1.1", CauseForeign, "HTTP", "HTTP"},
		{DoorUDP, CauseNoDatagram, unhexed("003dcafe0105000f3335"), CauseNoDatagram, "Teltonika by UDP", "no datagram"},
		{DoorTCP, CauseProxyMissing, login, CauseProxyMissing, "", "send-proxy"},
		{DoorTCP, CauseSilent, "", CauseSilent, "", "nothing came"},
	} {
		k := Knock{Door: c.door, Cause: c.cause, First: []byte(c.first)}
		s := k.diagnose(time.Now())
		if s.Cause != c.want || s.Protocol != c.protocol || !strings.Contains(s.Text, c.text) || s.Door != c.door {
			t.Errorf("%s at %s with %q: %+v", c.cause, c.door, c.first, s)
		}
	}
	for _, cause := range Causes {
		known := texts[cause] != "" || cause == CauseForeign
		for i := range protocols {
			known = known || protocols[i].Cause == cause
		}
		if !known {
			t.Errorf("%s has no words", cause)
		}
	}
}

// No position is among the bytes that are kept.
func TestFirstBytesHoldNoPosition(t *testing.T) {
	frame := unhexed("000000000000003608010000016b40d8ea30010f0e0d0c1f1e1d1c")
	for cause, first := range map[Cause][]byte{
		CauseMalformedLogin: []byte(frame), CauseNoDatagram: append([]byte(unhexed("003dcafe0105000f")+imei), frame[8:]...),
	} {
		s := (&Knock{Cause: cause, First: first}).diagnose(time.Now())
		if text := hex.EncodeToString(s.First); strings.Contains(text, "0f0e0d0c") || len(s.First) < maxFrameFirst {
			t.Errorf("%s", text)
		}
	}
}

func TestJSON(t *testing.T) {
	s := Stranger{At: time.Unix(1, 0).UTC(), FirstAt: time.Unix(0, 0).UTC(), Count: 2, Address: "192.0.2.1:4000",
		Door: DoorTCP, Cause: CauseForeign, Protocol: "MQTT", Text: "MQTT", First: Bytes{0x10, 0}, IMEI: imei,
		IMEIAs: AsClientID, Instance: "a"}
	text, err := json.Marshal(&s)
	if err != nil || !strings.Contains(string(text), `"first":"1000"`) {
		t.Fatalf("%s, %v", text, err)
	}
	var again Stranger
	if err := json.Unmarshal(text, &again); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
		t.Errorf("%+v, %v", again, err)
	}
}

func address(n int) string { return fmt.Sprintf("10.%d.%d.%d:4000", n>>16&255, n>>8&255, n&255) }

func (r *Ring) has(address string) bool {
	for _, s := range r.All() {
		if s.Address == address {
			return true
		}
	}
	return false
}

// Who comes back in the same way counts up, and is news once in an hour.
func TestSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRing("a")
		begin := time.Now()
		knock := func() bool {
			_, news := r.Knock(Knock{Door: DoorTCP, Address: address(1), Cause: CauseSilent})
			return news
		}
		if !knock() || knock() {
			t.Error("not news once")
		}
		time.Sleep(time.Hour)
		if !knock() {
			t.Error("no news after an hour")
		}
		last := time.Now()
		time.Sleep(time.Second)
		r.Knock(Knock{Door: DoorTLS, Address: address(1), Cause: CauseSilent})
		all := r.All()
		if len(all) != 2 || all[1].Count != 3 || !all[1].FirstAt.Equal(begin) || !all[1].At.Equal(last) ||
			all[1].Instance != "a" {
			t.Errorf("%+v", all)
		}
	})
}

// One address, and addresses that are made up, push out nobody else.
func TestBounds(t *testing.T) {
	r := NewRing("a")
	device := "192.0.2.7:4000"
	r.Knock(Knock{Door: DoorTCP, Address: device, Cause: CauseMalformedLogin, First: []byte("\x00\x11" + imei + "\r\n")})
	r.Knock(Knock{Door: DoorTCP, Address: "192.0.2.8:4000", Cause: CauseSilent})
	for i := range 10 * Size { // a scanner with an IMEI for each connection, and datagrams from made-up addresses
		login := fmt.Appendf(nil, "\x00\x11%015d\r\n", i)
		r.Knock(Knock{Door: DoorTCP, Address: "198.51.100.1:4000", Cause: CauseMalformedLogin, First: login})
		r.Knock(Knock{Door: DoorUDP, Address: address(i), Cause: CauseNoDatagram, First: login})
	}
	if !r.has(device) || !r.has("192.0.2.8:4000") || len(r.All()) != 2+maxOfAddress+maxDatagrams {
		t.Errorf("%d are kept", len(r.All()))
	}
	for i := range 10 * Size { // scanners from everywhere
		r.Knock(Knock{Door: DoorTCP, Address: address(i), Cause: CauseSilent})
	}
	if !r.has(device) || len(r.All()) != Size || r.has("192.0.2.8:4000") {
		t.Errorf("%d are kept, the device %v", len(r.All()), r.has(device))
	}
	for i := range 10 * Size { // and with IMEIs
		login := fmt.Appendf(nil, "\x00\x11%015d\r\n", i)
		r.Knock(Knock{Door: DoorTCP, Address: address(i), Cause: CauseMalformedLogin, First: login})
	}
	if got := len(r.All()); got != Size || r.has(device) || len(r.of) > Size || len(r.entries) != Size {
		t.Errorf("%d are kept", got)
	}
	var none *Ring
	if s, news := none.Knock(Knock{Cause: CauseSilent}); !news || s.Text == "" || none.All() != nil {
		t.Error("without a ring nothing is said")
	}
}

func FuzzKnock(f *testing.F) {
	for _, first := range []string{"", "\x00\x0f" + imei, "\x16\x03\x01", "GET /" + imei, "000F33", "\x10\x12\x00\x04MQ"} {
		f.Add([]byte(first))
	}
	f.Fuzz(func(t *testing.T, first []byte) {
		for _, cause := range []Cause{CauseMalformedLogin, CauseOnHTTP, CauseNoDatagram} {
			s := (&Knock{Cause: cause, First: first}).diagnose(time.Now())
			if s.Text == "" || len(s.First) > MaxFirst || s.IMEI != "" && len(s.IMEI) != imeiLength {
				t.Errorf("%+v", s)
			}
		}
	})
}

// BenchmarkKnock is what a stranger costs who comes back, and one of a flood from everywhere in a full ring.
func BenchmarkKnock(b *testing.B) {
	login := []byte("\x00\x11" + imei + "\r\n")
	for name, addresses := range map[string]int{"again": 1, "flood": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			r := NewRing("a")
			from := make([]string, addresses)
			for i := range from {
				from[i] = address(i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.Knock(Knock{Door: DoorTCP, Address: from[i%addresses], Cause: CauseMalformedLogin, First: login})
			}
		})
	}
}

package stranger

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// protocols are what arrives at the devices' ports instead of a login, by its first bytes, and what to do about it. The
// first line that matches counts. Two bytes may be all that has arrived: nothing is waited for.
var protocols = []struct {
	begins func(b []byte) bool
	Protocol
}{
	{prefix("\x16\x03"), Protocol{"TLS", CauseTLSOnPlain, "TLS on the plain port: set TLS_DETECT or send it to TLS_PORT"}},
	{prefix("PROXY ", "\r\n\r\n\x00\r\nQ"), Protocol{"PROXY header", CauseProxyUntrusted,
		"a PROXY protocol header from an address that is not in PROXY_PROTOCOL_FROM"}},
	{isChannelPacket, Protocol{"Teltonika by UDP", CauseUDPOnTCP, "UDP packets in a TCP connection: " +
		"set the device's protocol (parameter 2006) to TCP, or send it to UDP_PORT"}},
	{isHexText, Protocol{"hex digits", CauseHexText, "hex digits as text: what sends them has to send bytes"}},
	{isFrame, Protocol{"Teltonika frame", CauseFrameFirst, "a frame before the login: " +
		"the device did not wait for its login's answer, or a proxy keeps the login back"}},
	{isDualCam, foreign("DualCam", "a DualCam camera: it speaks a protocol of its own and needs another server, "+
		"on a port of its own")},
	{isMQTT, foreign("MQTT", "MQTT: the device's protocol (parameter 2006) is MQTT, which needs a broker; set it to TCP")},
	{isEGTS, foreign("EGTS", "EGTS: the device's second server is in EGTS mode (parameter 2010), which needs another "+
		"server")},
	{isHTTP, foreign("HTTP", "HTTP: a scanner, or a check that should ask /healthz on METRICS_PORT")},
	{prefix("{"), foreign("JSON", "JSON: the device's data protocol (parameter 113) is Codec JSON; set it to Codec 8 "+
		"or 8 Extended")},
	{prefix("SSH-"), foreign("SSH", "SSH: a scanner, or a client on the wrong port")},
	{prefix("\x03\x00\x00"), foreign("RDP", "RDP: a scanner")},
	{isSMB, foreign("SMB", "SMB: a scanner")},
	{isRedis, foreign("Redis", "Redis: a scanner, or a client on the wrong port")},
	{prefix("\x01\x01\x2f\x00"), otherTracker("AT2000")},
	{prefix("xx", "yy"), otherTracker("GT06 or Concox")},
	{prefix("+RESP:", "+ACK:", "+BUFF:"), otherTracker("Queclink")},
	{prefix("##,imei:"), otherTracker("TK103 or Coban")},
	{prefix("*HQ,"), otherTracker("H02")},
	{prefix("$$"), otherTracker("Meitrack")},
	{prefix("#L#"), otherTracker("Wialon IPS")},
	{prefix("\x7e\x01"), otherTracker("JT/T 808")},
	{isRuptela, otherTracker("Ruptela")},
}

// Protocol is what first bytes are that are no login.
type Protocol struct {
	Name  string // MQTT, EGTS
	Cause Cause
	Text  string // what it is, and what to do
}

func foreign(name, text string) Protocol { return Protocol{name, CauseForeign, text} }

func otherTracker(protocol string) Protocol {
	return foreign(protocol, "a tracker of another make, whose protocol looks like "+protocol+": it needs another server")
}

// Identify says what something is that begins so, if that is known.
func Identify(first []byte) (p Protocol, known bool) {
	for i := range protocols {
		if p := &protocols[i]; len(first) >= 2 && p.begins(first) {
			return p.Protocol, true
		}
	}
	return Protocol{}, false
}

// prefix matches what begins like one of the texts, or is the beginning of one.
func prefix(texts ...string) func(b []byte) bool {
	return func(b []byte) bool {
		for _, text := range texts {
			if n := min(len(text), len(b)); string(b[:n]) == text[:n] {
				return true
			}
		}
		return false
	}
}

// isChannelPacket: length, packet id CAFE, a type of 0 to 2; or any packet id before an IMEI of 15.
func isChannelPacket(b []byte) bool {
	return len(b) >= 5 && b[2] == 0xCA && b[3] == 0xFE && b[4] <= 2 ||
		len(b) >= 8 && b[4] == 1 && b[6] == 0 && b[7] == 15 && (b[0] != 0 || b[1] != 0)
}

// isHexText: a login or frame that somebody has written out, "000F…" or "0000…".
func isHexText(b []byte) bool {
	if len(b) < 4 || string(b[:2]) != "00" {
		return false
	}
	return strings.Trim(string(b[:min(len(b), 8)]), "0123456789abcdefABCDEF") == ""
}

func isFrame(b []byte) bool { return len(b) >= 4 && bytes.Equal(b[:4], make([]byte, 4)) }

// isDualCam: command 0 (init), a protocol id, and an IMEI of 15 digits as a number of 64 bits.
func isDualCam(b []byte) bool {
	return len(b) >= 8 && b[0] == 0 && b[1] == 0 && (b[2] != 0 || b[3] != 0) &&
		1e14 <= uint64(binary.BigEndian.Uint32(b[4:]))<<32 && uint64(binary.BigEndian.Uint32(b[4:]))<<32 < 1e15
}

// isMQTT: CONNECT, a length of one or two bytes, and the protocol's name, MQTT or MQIsdp.
func isMQTT(b []byte) bool {
	b = b[:min(len(b), 8)]
	return b[0] == 0x10 && (bytes.Contains(b, []byte("\x00\x04MQ")) || bytes.Contains(b, []byte("\x00\x06MQ")))
}

// isHTTP: a request line, also of RTSP, or the preface of HTTP/2.
var isHTTP = prefix("GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "DELETE ", "CONNECT ", "PATCH ", "TRACE ", "PRI * ")

// isEGTS: version 1, any key and flags, a header of 11 or 16 bytes, and no header encoding.
func isEGTS(b []byte) bool {
	return len(b) >= 5 && b[0] == 1 && (b[3] == 11 || b[3] == 16) && b[4] == 0
}

// isSMB: a NetBIOS length and the name of version 1 or 2.
func isSMB(b []byte) bool {
	return len(b) >= 8 && b[0] == 0 && (b[4] == 0xFF || b[4] == 0xFE) && string(b[5:8]) == "SMB"
}

// isRedis: an array of arguments, or a command as a line.
func isRedis(b []byte) bool {
	return b[0] == '*' && '0' <= b[1] && b[1] <= '9' || prefix("PING\r\n", "INFO\r\n", "CONFIG ")(b)
}

// isRuptela: a length and an IMEI as a number of 64 bits.
func isRuptela(b []byte) bool {
	return len(b) >= 4 && (b[0] != 0 || b[1] != 0) && b[2] == 0 && b[3] == 3
}

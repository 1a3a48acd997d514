package teltonikasession

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// foreignProtocols are what else arrives on the devices' ports, by its first bytes, and what to do about it. The first
// line that matches counts. There are eight bytes at most, and fewer where no more had arrived: nothing is waited for.
var foreignProtocols = []struct {
	begins func(b []byte) bool
	cause  string
}{
	{prefix("\x16\x03"), "TLS on the plain port: set TLS_DETECT or send it to TLS_PORT"},
	{prefix("PROXY ", "\r\n\r\n\x00\r\nQ"), "a PROXY protocol header from an address that is not in PROXY_PROTOCOL_FROM"},
	{isChannelPacket, "UDP packets in a TCP connection: " +
		"set the device's protocol (parameter 2006) to TCP, or send it to UDP_PORT"},
	{isHexText, "hex digits as text: what sends them has to send bytes"},
	{isFrame, "a frame before the login: the device did not wait for its login's answer, or a proxy keeps the login back"},
	{isDualCam, "a DualCam camera: it speaks a protocol of its own and needs another server, on a port of its own"},
	{isMQTT, "MQTT: the device's protocol (parameter 2006) is MQTT, which needs a broker; set it to TCP"},
	{isEGTS, "EGTS: the device's second server is in EGTS mode (parameter 2010), which needs another server"},
	{prefix("GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "DELETE ", "CONNECT ", "PATCH ", "TRACE ", "PRI * "),
		"HTTP: a scanner, or a check that should ask /healthz on METRICS_PORT"},
	{prefix("{"), "JSON: the device's data protocol (parameter 113) is Codec JSON; set it to Codec 8 or 8 Extended"},
	{prefix("SSH-"), "SSH: a scanner, or a client on the wrong port"},
	{prefix("\x03\x00\x00"), "RDP: a scanner"},
	{isSMB, "SMB: a scanner"},
	{isRedis, "Redis: a scanner, or a client on the wrong port"},
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

func otherTracker(protocol string) string {
	return "a tracker of another make, whose protocol looks like " + protocol + ": it needs another server"
}

// foreignCause says what a connection is that goes on so instead of with a login or frame, if that is known.
func foreignCause(first []byte) string {
	for i := range foreignProtocols {
		if p := &foreignProtocols[i]; len(first) >= 2 && p.begins(first) {
			return p.cause
		}
	}
	return ""
}

// foreignError is something else than a frame or login, of which is known what.
type foreignError struct {
	error
	cause string
}

func (e *foreignError) Unwrap() error { return e.error }

// foreign adds to err what the bytes are that are wrong, if that is known.
func foreign(first []byte, err error) error {
	if cause := foreignCause(first); cause != "" {
		return &foreignError{err, cause}
	}
	return err
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
	return strings.Trim(string(b), "0123456789abcdefABCDEF") == ""
}

func isFrame(b []byte) bool { return len(b) >= 4 && bytes.Equal(b[:4], make([]byte, 4)) }

// isDualCam: command 0 (init), a protocol id, and an IMEI of 15 digits as a number of 64 bits.
func isDualCam(b []byte) bool {
	return len(b) >= 8 && b[0] == 0 && b[1] == 0 && (b[2] != 0 || b[3] != 0) &&
		1e14 <= uint64(binary.BigEndian.Uint32(b[4:]))<<32 && uint64(binary.BigEndian.Uint32(b[4:]))<<32 < 1e15
}

// isMQTT: CONNECT, a length of one or two bytes, and the protocol's name, MQTT or MQIsdp.
func isMQTT(b []byte) bool {
	return b[0] == 0x10 && (bytes.Contains(b, []byte("\x00\x04MQ")) || bytes.Contains(b, []byte("\x00\x06MQ")))
}

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

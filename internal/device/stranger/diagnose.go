package stranger

import "time"

// Knock is what a door has seen.
type Knock struct {
	Door    Door
	Address string
	Cause   Cause  // as far as the door knows: the first bytes may say more
	Text    string // the cause in words, if the door knows them
	First   []byte // is copied
	IMEI    string // if the door knows it
}

// Texts of causes about which the first bytes say nothing.
var texts = map[Cause]string{
	CauseSilent: "nothing came: a health check or a scanner, or a device whose data do not get through",
	CauseCutOff: "the login did not come to its end: the link broke, or loses large packets (its MTU)",
	CauseMalformedLogin: "no login of a tracker, which is a length of two bytes and the IMEI: " +
		"see what sends to this port",
	CauseNoDatagram: "no datagram of a tracker: see what sends to UDP_PORT",
	CauseTCPOnUDP: "what belongs into a TCP connection, in a datagram: set the device's protocol (parameter 2006) " +
		"to UDP, or send it to TELTONIKA_PORT by TCP",
	CauseTLS: "TLS did not come about",
	CauseTLSUnused: "the TLS handshake was done, and nothing followed: so leave devices that do not trust the " +
		"certificate",
	CauseOnHTTP: "a tracker on a port for HTTP: set the device's server port (parameter 2005) to TELTONIKA_PORT, " +
		"5027 unless it is set",
	CausePlainOnTLS: "a tracker without TLS on the TLS port: switch TLS on in the device, " +
		"or send it to TELTONIKA_PORT, or set TLS_DETECT",
	CauseProxyMissing: "a balancer sent no PROXY protocol header: have it send one (send-proxy-v2), " +
		"or take it out of PROXY_PROTOCOL_FROM",
	CauseProxyMalformed: "a balancer sent a PROXY protocol header that cannot be used",
	CauseLimit:          "all of MAX_CONNECTIONS are proven devices'",
	CauseCrowdedOut:     "there was no room, and this connection was the next to go for a newer one",
	CauseRateLimited:    "too many connections of this address have ended without a login",
}

// diagnose says what the knock means.
func (k *Knock) diagnose(now time.Time) Stranger {
	s := Stranger{
		At: now, FirstAt: now, Count: 1, Address: k.Address, Door: k.Door, Cause: k.Cause, Text: k.Text, IMEI: k.IMEI,
	}
	if s.IMEI == "" {
		s.IMEI, s.IMEIAs = FindIMEI(k.First[:min(len(k.First), MaxFirst)])
	} else {
		s.IMEIAs = AsLogin
	}
	found, known := Identify(k.First)
	if known {
		s.Protocol = found.Name
	}
	switch own := isTrackers(k.First); {
	case known && (k.Cause == CauseMalformedLogin || k.Cause == CauseCutOff):
		s.Cause, s.Text = found.Cause, found.Text
	case k.Cause == CauseNoDatagram && (own || found.Cause == CauseFrameFirst):
		s.Cause = CauseTCPOnUDP
	case k.Cause == CauseNoDatagram && known && found.Cause != CauseUDPOnTCP:
		s.Cause, s.Text = found.Cause, found.Text
	case (k.Cause == CausePlainOnTLS || k.Cause == CauseOnHTTP) && known && !found.ours():
		s.Text = found.Text
	}
	if s.Text == "" {
		s.Text = texts[s.Cause]
	}
	s.First = shown(k.First, found)
	return s
}

// ours reports whether it is what a tracker of ours says at a right port, or in the wrong order.
func (p *Protocol) ours() bool { return p.Cause == CauseFrameFirst || p.Cause == CauseUDPOnTCP }

// isTrackers reports whether the bytes begin like the login of a device of ours, or its keep-alives.
func isTrackers(b []byte) bool {
	for len(b) > 0 && b[0] == 0xFF {
		b = b[1:]
	}
	return len(b) >= 3 && b[0] == 0 && b[1] >= 1 && b[1] <= 64 && isAlphanumeric(b[2])
}

func isAlphanumeric(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// How much is kept of what may hold a position behind it: a frame's header and codec, a datagram's with the IMEI.
const (
	maxFrameFirst    = 16
	maxDatagramFirst = 33
)

// shown is what is kept of the first bytes.
func shown(first []byte, p Protocol) Bytes {
	most := MaxFirst
	switch p.Cause {
	case CauseFrameFirst:
		most = maxFrameFirst
	case CauseUDPOnTCP:
		most = maxDatagramFirst
	}
	return append(Bytes(nil), first[:min(len(first), most)]...)
}

package simulate

import (
	"context"
	"net"
)

// perSource is how many connections to one server address, or UDP sockets, share a source address. The system has about
// 28,000 ports for them, and closed connections hold theirs for a minute.
const perSource = 20_000

// newDialer opens what the transport needs.
func newDialer(o *Options) Dialer {
	dial := o.Dial
	if dial == nil {
		dial = newNetDialer(o)
	}
	if o.Transport == TLS {
		return overTLS(dial, o)
	}
	return dial
}

// newNetDialer opens a TCP connection or a UDP socket to the address. A fleet on this machine that needs more ports
// than one address has spreads over 127.0.0.1, 127.0.0.2 and so on.
func newNetDialer(o *Options) Dialer {
	sources := o.SourceAddresses
	if sources == 0 && o.Devices > perSource && isLoopback(o.Address) {
		sources = min(254, (o.Devices+perSource-1)/perSource)
	}
	return func(ctx context.Context, device int) (net.Conn, error) {
		var dialer net.Dialer
		source := net.IPv4(127, 0, 0, byte(1+device%max(1, sources)))
		switch {
		case o.Transport == UDP && sources > 0:
			dialer.LocalAddr = &net.UDPAddr{IP: source}
		case sources > 0:
			dialer.LocalAddr = &net.TCPAddr{IP: source}
		}
		if o.Transport == UDP {
			return dialer.DialContext(ctx, "udp", o.Address)
		}
		return dialer.DialContext(ctx, "tcp", o.Address)
	}
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.To4() != nil && ip.IsLoopback()
}

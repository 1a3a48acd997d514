package simulate

import (
	"context"
	"net"
	"net/netip"
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

// newNetDialer opens a TCP connection or a UDP socket to the address, from the sources in turn.
func newNetDialer(o *Options) Dialer {
	sources := o.sources()
	return func(ctx context.Context, device int) (net.Conn, error) {
		var dialer net.Dialer
		if len(sources) > 0 {
			source := sources[device%len(sources)]
			from := net.IP(source.AsSlice())
			if o.Transport == UDP {
				dialer.LocalAddr = &net.UDPAddr{IP: from, Zone: source.Zone()}
			} else {
				dialer.LocalAddr, dialer.Control = &net.TCPAddr{IP: from, Zone: source.Zone()}, portLater
			}
		}
		if o.Transport == UDP {
			return dialer.DialContext(ctx, "udp", o.Address)
		}
		return dialer.DialContext(ctx, "tcp", o.Address)
	}
}

// sources are the addresses that the fleet connects from, none if that is the system's choice. A fleet on the server's
// machine that needs more ports than one address has spreads over 127.0.0.1, 127.0.0.2 and so on.
func (o *Options) sources() []netip.Addr {
	if len(o.Sources) == 0 && o.Devices > perSource && isLoopback(o.Address) {
		return loopback(min(maxSources, (o.Devices+perSource-1)/perSource))
	}
	return o.Sources
}

// loopback are n addresses from 127.0.0.1 on.
func loopback(n int) (all []netip.Addr) {
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i)}))
	}
	return all
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.To4() != nil && ip.IsLoopback()
}

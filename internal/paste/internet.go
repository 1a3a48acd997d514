package paste

import (
	"encoding/binary"
	"net/netip"
)

// internet takes the header of IPv4 or IPv6 off a packet. missing is how many bytes of the body are not there. Parts of
// packets that were fragmented are none.
func internet(b []byte) (from, to netip.Addr, protocol byte, body []byte, missing int, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < 20 || total < header || header > len(b) || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return from, to, 0, nil, 0, false
		}
		from, _ = netip.AddrFromSlice(b[12:16])
		to, _ = netip.AddrFromSlice(b[16:20])
		return from, to, b[9], b[header:min(total, len(b))], max(0, total-len(b)), true
	case len(b) >= 40 && b[0]>>4 == 6:
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		from, _ = netip.AddrFromSlice(b[8:24])
		to, _ = netip.AddrFromSlice(b[24:40])
		return from, to, b[6], b[40:min(total, len(b))], max(0, total-len(b)), true
	}
	return from, to, 0, nil, 0, false
}

// The links of captures, by their numbers in the files.
const (
	linkNull, linkEthernet, linkRawBSD, linkRawOpenBSD = 0, 1, 12, 14
	linkRaw, linkLoop, linkCooked, linkCooked2         = 101, 108, 113, 276
)

// frameless is an Ethernet frame's packet of IP.
func frameless(b []byte) []byte { return unlinked(b, linkEthernet) }

// unlinked takes the header of a link off, nil if it is no packet of IP.
func unlinked(b []byte, link uint32) []byte {
	switch link {
	case linkRaw, linkRawBSD, linkRawOpenBSD:
		return b
	case linkNull, linkLoop:
		return after(b, 4)
	case linkCooked:
		return after(b, 16)
	case linkCooked2:
		return after(b, 20)
	case linkEthernet:
		const vlan, provider, ipv4, ipv6 = 0x8100, 0x88a8, 0x0800, 0x86dd
		for at := 12; at+2 <= len(b); at += 4 {
			switch binary.BigEndian.Uint16(b[at:]) {
			case vlan, provider:
			case ipv4, ipv6:
				return after(b, at+2)
			default:
				return nil
			}
		}
	}
	return nil
}

func after(b []byte, n int) []byte {
	if len(b) < n {
		return nil
	}
	return b[n:]
}

package ingest

import "golang.org/x/sys/unix"

// controlRoom is for the control messages that come with a datagram. A socket that the service manager has opened may
// have more of them than the one that is looked for.
const controlRoom = 256

// source is the address of this machine that a datagram came to, as the control message that has the answer leave from
// there (IP_PKTINFO, IPV6_PKTINFO): on a socket for all addresses the kernel would choose another, and the device, or
// the NAT before it, drop the answer. It is empty if the socket does not tell.
type source struct {
	message [40]byte // CMSG_SPACE of the larger one
	size    uint8
}

// control is the answer's control message.
func (s *source) control() []byte { return s.message[:s.size] }

// sourceOf looks for the address among a datagram's control messages.
func sourceOf(control []byte) (s source) {
	for len(control) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return source{}
		}
		if at, ok := interfaceAt(header, data); ok {
			clear(data[at : at+4]) // the routes decide by which interface the answer goes
			s.size = uint8(copy(s.message[:], control[:len(control)-len(rest)]))
			return s
		}
		control = rest
	}
	return s
}

// interfaceAt is where the interface is in the data of a control message, if that tells the address.
func interfaceAt(h unix.Cmsghdr, data []byte) (offset int, ok bool) {
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) == unix.SizeofInet4Pktinfo:
		return 0, true // before the addresses
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) == unix.SizeofInet6Pktinfo:
		return 16, true // behind the address
	}
	return 0, false
}

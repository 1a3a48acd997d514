package listen

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// tellDestination has each datagram come with the address that it was sent to. A socket of IPv6 tells those of IPv4
// too.
func tellDestination(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var answer error
	err = raw.Control(func(fd uintptr) { answer = askDestination(int(fd)) })
	return errors.Join(err, answer)
}

func askDestination(fd int) error {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	if family == unix.AF_INET6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

package redisstream

import (
	"errors"
	"net"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall does not have.
const tcpUserTimeout = 0x12

// setUnackedTimeout is a net.Dialer's Control. A kernel that refuses the option leaves us with its
// own, longer time-out.
func setUnackedTimeout(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unackedTimeout.Milliseconds()))
	})
}

// closedByPeer looks, without waiting and without reading anything, whether the peer has closed an
// idle connection. Then a batch need not be written to find that out, and its fate is certain.
func closedByPeer(conn net.Conn) bool {
	tcp, ok := tcpConn(conn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil:
			closed = n == 0
		case !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			closed = true
		}
		return true
	})
	return closed || err != nil
}

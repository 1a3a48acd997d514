package mirror

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// arrived looks, without waiting and without reading anything, whether something has arrived. It fails with io.EOF if
// the connection has ended behind everything that has.
func arrived(conn net.Conn) (some bool, err error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false, err
	}
	var n int
	var failure error
	if err := raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, failure = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}); err != nil {
		return false, err
	}
	switch {
	case errors.Is(failure, syscall.EAGAIN), errors.Is(failure, syscall.EINTR):
		return false, nil
	case failure == nil && n == 0:
		return false, io.EOF
	}
	return n > 0, failure
}

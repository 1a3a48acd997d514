package simulate

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// portLater has the system choose the port of a source address when it connects and not before: then a port is taken
// for one server address, and not for all.
func portLater(_, _ string, c syscall.RawConn) error {
	var err error
	if failed := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); failed != nil {
		return failed
	}
	return err
}

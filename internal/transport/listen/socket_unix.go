//go:build unix

package listen

import (
	"errors"
	"syscall"
)

// socketKind says of a file descriptor whether it is a socket of datagrams, or else whether it listens.
func socketKind(fd int) (datagrams, listens bool, err error) {
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil || kind == syscall.SOCK_DGRAM {
		return err == nil, false, err
	}
	accepts, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil {
		return false, false, errors.Join(errConnected, err)
	}
	return false, accepts != 0, nil
}

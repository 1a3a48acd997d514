package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const canReusePort = true

// reusePort lets the socket share its port, before it is bound.
func reusePort(raw syscall.RawConn) error {
	return onSocket(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// sendAllTo gives all new connections of the shared port to the socket in that slot, or if there is none to any, until
// it is called again, also by another process. It needs no privilege.
func sendAllTo(raw syscall.RawConn, slot uint32) error {
	program := [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: slot}}
	return onSocket(raw, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}

func onSocket(raw syscall.RawConn, do func(fd int) error) error {
	var err error
	if controlErr := raw.Control(func(fd uintptr) { err = do(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

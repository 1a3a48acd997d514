package stranger

import (
	"net"
	"syscall"
)

// Peek returns first with what has arrived behind it, MaxFirst bytes at most. It waits for nothing and reads nothing.
// The connection has to be plain: of one with TLS this would be what is encrypted.
func Peek(conn net.Conn, first []byte) []byte {
	for {
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapped.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok || len(first) >= MaxFirst {
		return first
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return first
	}
	var b [MaxFirst]byte
	have := copy(b[:], first)
	_ = raw.Control(func(fd uintptr) { // what is closed has nothing more to say
		if n, _, err := syscall.Recvfrom(int(fd), b[have:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); err == nil {
			have += n
		}
	})
	return b[:have]
}

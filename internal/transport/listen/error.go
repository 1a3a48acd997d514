package listen

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is an address that could not be listened on.
type Error struct {
	Name    string // of the Options' Names
	Network string // tcp or udp
	Address string // host and port
	Err     error  // the system's
}

func (e *Error) Error() string {
	text := fmt.Sprintf("cannot listen for %s on %s %s", e.Name, e.Network, e.Address)
	var errno syscall.Errno
	if !errors.As(e.Err, &errno) {
		return fmt.Sprintf("%s: %v", text, e.Err)
	}
	if remedy, ok := remedies[errno]; ok {
		return fmt.Sprintf("%s: %v: %s", text, errno, remedy)
	}
	return fmt.Sprintf("%s: %v", text, errno)
}

func (e *Error) Unwrap() error { return e.Err }

var remedies = map[syscall.Errno]string{
	syscall.EADDRINUSE: "another socket has this port (ss -lntup shows whose); stop that process or take another port",
	syscall.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE or a socket handed over by systemd; or take " +
		"a higher port",
	syscall.EADDRNOTAVAIL: "no interface of this machine has this address; take one that ip address shows, or none " +
		"for all",
	syscall.EAFNOSUPPORT: "this machine has no addresses of this family; take one of the other",
}

package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// firstInherited is the file descriptor of the first socket that the service manager hands over: sd_listen_fds(3).
const firstInherited = 3

// inherited is a socket that the service manager has opened: a TCP listener or a UDP connection.
type inherited struct {
	name string // empty if it has none of its own
	tcp  *net.TCPListener
	udp  *net.UDPConn
}

func (i *inherited) network() string {
	if i.tcp != nil {
		return "tcp"
	}
	return "udp"
}

func (i *inherited) address() net.Addr {
	if i.tcp != nil {
		return i.tcp.Addr()
	}
	return i.udp.LocalAddr()
}

func (i *inherited) port() int {
	if i.tcp != nil {
		return i.tcp.Addr().(*net.TCPAddr).Port
	}
	return portOf(i.udp)
}

func (i *inherited) close() {
	if i.tcp != nil {
		i.tcp.Close()
		return
	}
	i.udp.Close()
}

func (i *inherited) String() string {
	return fmt.Sprintf("systemd socket %q (%s %s)", i.name, i.network(), i.address())
}

// inherit takes over what the environment says is handed over, if it is meant for this process.
func inherit(names []string) ([]*inherited, error) {
	pid, count, fdNames := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name) // not for the processes that this one starts
	}
	if pid != strconv.Itoa(os.Getpid()) || count == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS %q is not a number of sockets", count)
	}
	given := strings.Split(fdNames, ":")
	var all []*inherited
	var bad []error
	for i := range int(n) {
		name := ""
		if i < len(given) {
			name = ownName(given[i])
		}
		s, err := takeOver(name, firstInherited+i)
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("systemd socket %q, file descriptor %d: %w", name, firstInherited+i, err))
			continue
		case name != "" && !slices.Contains(names, name):
			bad = append(bad, fmt.Errorf("%v: unknown name; use FileDescriptorName= with one of %s", s,
				strings.Join(names, ", ")))
		}
		all = append(all, s)
	}
	if len(bad) > 0 {
		closeAll(all)
		return nil, errors.Join(bad...)
	}
	return all, nil
}

// ownName is the name that the socket's unit gives it, and not the one of the unit, which it has without.
func ownName(name string) string {
	if name == "unknown" || strings.HasSuffix(name, ".socket") {
		return ""
	}
	return name
}

var (
	errNotIP     = errors.New("only TCP and UDP sockets can be used")
	errConnected = errors.New("it does not listen; set Accept=no in the socket unit")
)

// takeOver makes a socket of the file descriptor, which it closes: the socket has one of its own, which no process that
// is started gets.
func takeOver(name string, fd int) (*inherited, error) {
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	datagrams, listens, err := socketKind(fd)
	if err != nil {
		return nil, err
	}
	if datagrams {
		c, err := net.FilePacketConn(file)
		if err != nil {
			return nil, err
		}
		if udp, ok := c.(*net.UDPConn); ok {
			return &inherited{name: name, udp: udp}, nil
		}
		c.Close()
		return nil, errNotIP
	}
	if !listens {
		return nil, errConnected
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.(*net.TCPListener); ok {
		return &inherited{name: name, tcp: tcp}, nil
	}
	l.Close()
	return nil, errNotIP
}

// claim returns what was handed over by that name, or without a name and on that port.
func (s *Set) claim(name, network string, port int) ([]*inherited, error) {
	var taken, left []*inherited
	for _, i := range s.inherited {
		switch {
		case i.name == name && i.network() != network:
			return nil, fmt.Errorf("%v: %s needs a %s socket", i, name, network)
		case i.name == name, i.name == "" && i.network() == network && i.port() == port:
			taken = append(taken, i)
		default:
			left = append(left, i)
		}
	}
	s.inherited = left
	return taken, nil
}

// Unused closes what was handed over and not asked for, and is an error that names it: a port that takes connections
// which nobody will answer is a mistake in the settings. It is called when all is opened.
func (s *Set) Unused() error {
	var unused []error
	for _, i := range s.inherited {
		unused = append(unused,
			fmt.Errorf("%v: nothing uses it; turn on what it is for, give it a name by FileDescriptorName=, or take it "+
				"out of the socket unit", i))
	}
	closeAll(s.inherited)
	s.inherited = nil
	return errors.Join(unused...)
}

func closeAll(all []*inherited) {
	for _, i := range all {
		i.close()
	}
}

// Package listen opens the sockets of the process: the ones that the service manager hands over, and those of the
// settings.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keepAlive finds devices that are gone without a word, in 2 minutes.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

// Options are how sockets are opened.
type Options struct {
	// Names are all names that TCP and UDP may be called with. A socket handed over with another one is an error.
	Names []string
}

// Set is the process's sockets. It is for one goroutine at a time.
type Set struct {
	options   Options
	inherited []*inherited // not asked for yet
}

// New takes what the service manager has handed over (LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, which it removes from
// the environment). It is called once, before anything else opens files or starts processes.
func New(o Options) (*Set, error) {
	handed, err := inherit(o.Names)
	if err != nil {
		return nil, err
	}
	return &Set{options: o, inherited: handed}, nil
}

// ParseHosts reads addresses to listen on, separated by commas: IPv4 and IPv6 literals, or localhost. The empty text is
// all addresses of the machine, of both families. The error names every entry that is wrong.
func ParseHosts(text string) ([]string, error) {
	if strings.TrimSpace(text) == "" {
		return []string{""}, nil
	}
	var hosts []string
	var bad []error
	for entry := range strings.SplitSeq(text, ",") {
		host := strings.TrimSpace(entry)
		if bare, ok := strings.CutPrefix(host, "["); ok {
			host = strings.TrimSuffix(bare, "]")
		}
		address, _, _ := strings.Cut(host, "%")
		switch {
		case host != "localhost" && net.ParseIP(address) == nil:
			bad = append(bad, fmt.Errorf("%q: use an IP address of this machine, such as 127.0.0.1 or ::, without a port",
				strings.TrimSpace(entry)))
		case slices.Contains(hosts, host):
			bad = append(bad, fmt.Errorf("%q: is there twice", host))
		}
		hosts = append(hosts, host)
	}
	return hosts, errors.Join(bad...)
}

// TCP returns the listeners of that name: those handed over, else one an address, on the port. Port 0 is any free one,
// the same on all addresses. The host :: is both families, unless the hosts have an IPv4 address too. On an error,
// which is an *Error if the system refused, nothing is open.
func (s *Set) TCP(ctx context.Context, name string, hosts []string, port int) ([]net.Listener, error) {
	handed, err := s.claim(name, "tcp", port)
	if err != nil {
		return nil, err
	}
	opened := make([]*listener, 0, max(len(hosts), len(handed)))
	for _, h := range handed {
		opened = append(opened, &listener{TCPListener: h.tcp, inherited: true})
	}
	if len(handed) == 0 {
		config := listenConfig()
		opened, err = open(name, "tcp", hosts, port, func(network, address string) (*listener, error) {
			l, err := config.Listen(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &listener{TCPListener: l.(*net.TCPListener)}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	result := make([]net.Listener, len(opened))
	for i, l := range opened {
		result[i] = l
	}
	return result, nil
}

// UDP is TCP for datagrams. Where the system can say which of its addresses a datagram came to, the sockets ask for it
// (IP_PKTINFO, IPV6_PKTINFO).
func (s *Set) UDP(ctx context.Context, name string, hosts []string, port int) ([]*net.UDPConn, error) {
	conns, err := s.udp(ctx, name, hosts, port)
	if err != nil {
		return nil, err
	}
	for _, c := range conns {
		if err := tellDestination(c); err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, &Error{Name: name, Network: "udp", Address: c.LocalAddr().String(), Err: err}
		}
	}
	return conns, nil
}

func (s *Set) udp(ctx context.Context, name string, hosts []string, port int) ([]*net.UDPConn, error) {
	handed, err := s.claim(name, "udp", port)
	if err != nil {
		return nil, err
	}
	if len(handed) == 0 {
		config := listenConfig()
		return open(name, "udp", hosts, port, func(network, address string) (*net.UDPConn, error) {
			c, err := config.ListenPacket(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return c.(*net.UDPConn), nil
		})
	}
	result := make([]*net.UDPConn, len(handed))
	for i, h := range handed {
		result[i] = h.udp
	}
	return result, nil
}

func listenConfig() *net.ListenConfig {
	config := &net.ListenConfig{KeepAliveConfig: keepAlive}
	config.SetMultipathTCP(false) // trackers do not speak it
	return config
}

// socket is a listener or a packet connection.
type socket interface {
	comparable
	Close() error
}

// portTries is how many free ports of the first address may be taken on another one.
const portTries = 16

// open opens one socket an address, or none.
func open[S socket](name, network string, hosts []string, port int,
	listen func(network, address string) (S, error)) ([]S, error) {
	for try := 1; ; try++ {
		opened, err := openAll(name, network, hosts, port, listen)
		if err == nil || port != 0 || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return opened, err
		}
	}
}

func openAll[S socket](name, network string, hosts []string, port int,
	listen func(network, address string) (S, error)) ([]S, error) {
	var opened []S
	for _, host := range hosts {
		address := net.JoinHostPort(host, strconv.Itoa(port))
		s, err := listen(family(network, host, hosts), address)
		if err != nil {
			for _, s := range opened {
				s.Close()
			}
			return nil, &Error{Name: name, Network: network, Address: address, Err: err}
		}
		opened = append(opened, s)
		if port == 0 {
			port = portOf(any(s))
		}
	}
	return opened, nil
}

// family is the network for a host. The package net takes any wildcard for both families; here the one of IPv4 is what
// it says, and the one of IPv6 leaves IPv4 alone if the hosts have an address of that too.
func family(network, host string, hosts []string) string {
	isIPv4 := func(h string) bool { return net.ParseIP(h).To4() != nil }
	switch {
	case host == "0.0.0.0":
		return network + "4"
	case host == "::" && slices.ContainsFunc(hosts, isIPv4):
		return network + "6"
	}
	return network
}

func portOf(s any) int {
	switch s := s.(type) {
	case *listener:
		return s.Addr().(*net.TCPAddr).Port
	case *net.UDPConn:
		return s.LocalAddr().(*net.UDPAddr).Port
	}
	return 0
}

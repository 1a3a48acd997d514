package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Free ports lie below those that Linux gives to connections, and to whoever asks for any port. So nobody but another
// test takes one before its server does, or while that is being started again.
const (
	lowestPort  = 10240
	highestPort = 32767
)

var givenPorts sync.Map // what has been given in this process, which is not given again

// FreePort returns a port, of TCP and UDP, that nobody has on any address at the moment.
func FreePort(tb testing.TB) int {
	tb.Helper()
	port, err := freePort()
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	return port
}

func freePort() (port int, err error) {
	for range 1000 {
		port = lowestPort + rand.IntN(highestPort-lowestPort+1)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		if err = tryPort(port); err == nil {
			return port, nil
		}
	}
	return 0, err
}

func tryPort(port int) error {
	address := fmt.Sprint(":", port)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// freePorts are several different ones.
func freePorts(tb testing.TB, n int) (ports []int) {
	tb.Helper()
	for range n {
		ports = append(ports, FreePort(tb))
	}
	return ports
}

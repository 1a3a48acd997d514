package listen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

var names = []string{"devices", "devices-udp", "metrics"}

func newSet(t *testing.T) *Set {
	t.Helper()
	s, err := New(Options{Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeAfter[S io.Closer](t *testing.T, all []S) {
	t.Cleanup(func() {
		for _, s := range all {
			s.Close()
		}
	})
}

func TestSeveralAddressesShareAFreePort(t *testing.T) {
	s := newSet(t)
	hosts, err := ParseHosts("127.0.0.1, [::1], 127.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := s.TCP(t.Context(), "devices", hosts, 0)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, listeners)
	port := listeners[0].Addr().(*net.TCPAddr).Port
	for i, want := range []string{"127.0.0.1", "::1", "127.0.0.2"} {
		if got := listeners[i].Addr().String(); got != net.JoinHostPort(want, fmt.Sprint(port)) {
			t.Errorf("listens on %s, not on %s with port %d", got, want, port)
		}
	}
	conns, err := s.UDP(t.Context(), "devices-udp", hosts, port)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, conns)
	if len(conns) != 3 || conns[1].LocalAddr().String() != listeners[1].Addr().String() {
		t.Errorf("%v", conns)
	}
}

func TestAllAddresses(t *testing.T) {
	for _, text := range []string{"", "::", "::,0.0.0.0", "0.0.0.0,::"} {
		hosts, err := ParseHosts(text)
		if err != nil {
			t.Fatal(err)
		}
		listeners, err := newSet(t).TCP(t.Context(), "devices", hosts, 0)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		closeAfter(t, listeners)
		for _, l := range listeners {
			go func() {
				if c, err := l.Accept(); err == nil {
					c.Close()
				}
			}()
		}
		for _, to := range []string{"127.0.0.1", "::1"} {
			c, err := net.Dial("tcp", net.JoinHostPort(to, fmt.Sprint(listeners[0].Addr().(*net.TCPAddr).Port)))
			if err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
			c.Close()
		}
	}
}

func TestParseHosts(t *testing.T) {
	_, err := ParseHosts("127.0.0.1, example.org, 127.0.0.1, ::1:80x, fe80::1%lo")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"example.org": use`, `"127.0.0.1": is there twice`, `"::1:80x": use`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing of %s in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "fe80") {
		t.Error(err)
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	_, err = newSet(t).TCP(t.Context(), "devices", []string{"127.0.0.2", "127.0.0.1"}, port)
	want, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, syscall.EADDRINUSE) || want.Name != "devices" {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"for devices on tcp " + taken.Addr().String(),
		"stop that process or take another port"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("nothing of %q in %v", part, err)
		}
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Fatalf("the first address is still open: %v", err)
	}
	l.Close()
}

func TestErrorsNameTheRemedy(t *testing.T) {
	_, err := newSet(t).UDP(t.Context(), "devices-udp", []string{"192.0.2.1"}, 5027)
	if err == nil || !strings.Contains(err.Error(), "udp 192.0.2.1:5027: cannot assign requested address: no interface") {
		t.Error(err)
	}
	err = &Error{Name: "devices", Network: "tcp", Address: ":80", Err: os.NewSyscallError("bind", syscall.EACCES)}
	if !strings.Contains(err.Error(), "CAP_NET_BIND_SERVICE") {
		t.Error(err)
	}
}

// A socket for all addresses tells which of them a datagram came to.
func TestDatagramsTellTheirDestination(t *testing.T) {
	for _, c := range []struct{ hosts, to string }{
		{"", "127.0.0.2"}, {"", "::1"}, {"0.0.0.0", "127.0.0.2"}, {"::", "::1"}, {"127.0.0.2", "127.0.0.2"},
	} {
		hosts, err := ParseHosts(c.hosts)
		if err != nil {
			t.Fatal(err)
		}
		conns, err := newSet(t).UDP(t.Context(), "devices-udp", hosts, 0)
		if err != nil {
			t.Fatal(err)
		}
		closeAfter(t, conns)
		to := net.UDPAddr{IP: net.ParseIP(c.to), Port: conns[0].LocalAddr().(*net.UDPAddr).Port}
		device, err := net.DialUDP("udp", nil, &to)
		if err != nil {
			t.Fatal(err)
		}
		closeAfter(t, []*net.UDPConn{device})
		if _, err := device.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		want := to.IP.To4()
		if want == nil {
			want = to.IP
		}
		control := make([]byte, 100)
		_, n, _, _, err := conns[0].ReadMsgUDPAddrPort(make([]byte, 1), control)
		if err != nil || !bytes.Contains(control[:n], want) {
			t.Errorf("%q: a datagram to %s comes with % x, %v", c.hosts, c.to, control[:n], err)
		}
	}
}

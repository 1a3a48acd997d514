package ingest

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenEverywhere adds a socket of that family for all addresses, that tells where datagrams come to.
func (s *packetShell) listenEverywhere(network string, level, option int) (port uint16) {
	s.Helper()
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		s.Fatal(err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		s.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); err != nil {
		s.Fatal(err)
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Serve(conn)
	return uint16(conn.LocalAddr().(*net.UDPAddr).Port)
}

// A device is answered from the address that it has sent to, whatever address the routes would choose.
func TestDatagramIsAnsweredFromItsDestination(t *testing.T) {
	s := newPacketShell(t, 100)
	both := s.listenEverywhere("udp", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO)
	ipv4 := s.listenEverywhere("udp4", unix.IPPROTO_IP, unix.IP_PKTINFO)
	for _, to := range []netip.AddrPort{
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), ipv4),
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), ipv4),
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), both),
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), both),
		netip.AddrPortFrom(netip.MustParseAddr("::1"), both),
	} {
		device, err := net.ListenUDP("udp", nil) // takes answers from anywhere
		if err != nil {
			t.Fatal(err)
		}
		defer device.Close()
		for _, text := range []string{"hello", "hold on"} {
			if _, err := device.WriteToUDPAddrPort([]byte(text), to); err != nil {
				t.Fatal(err)
			}
			if text == "hold on" {
				s.release()
			}
			b := make([]byte, 100)
			device.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, from, err := device.ReadFromUDPAddrPort(b)
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if string(b[:n]) != text || from != to || err != nil {
				t.Errorf("answer %q from %v, %v, want it from %v", b[:n], from, err, to)
			}
		}
	}
}

// Whatever control messages come: those of another kind, cut off, or none.
func TestSourceOfOtherControlMessages(t *testing.T) {
	info := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: 7, Spec_dst: [4]byte{127, 0, 0, 2}})
	want := sourceOf(unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte{127, 0, 0, 2}}))
	if want.size == 0 {
		t.Fatal("no address")
	}
	other := unix.UnixRights(3, 4, 5)
	for i, control := range [][]byte{info, append(other, info...)} {
		if got := sourceOf(control); got != want {
			t.Errorf("%d: %x, want %x", i, got.control(), want.control())
		}
	}
	for n := range info {
		if n < unix.CmsgLen(unix.SizeofInet4Pktinfo) {
			if s := sourceOf(info[:n:n]); s.size != 0 {
				t.Errorf("%d bytes are enough for %x", n, s.control())
			}
		}
	}
	if s := sourceOf(other); s.size != 0 {
		t.Errorf("%x of another message", s.control())
	}
}

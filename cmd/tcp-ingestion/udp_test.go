package main

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// withUDP are the settings of a server that takes datagrams on the port of its connections.
func withUDP(t testing.TB, settings map[string]string) map[string]string {
	port := strconv.Itoa(testkit.FreePort(t))
	all := maps.Clone(settings)
	all["TELTONIKA_PORT"], all["UDP_PORT"] = port, port
	return all
}

// stormy is a fleet over a network that loses a fifth of what is sent either way, doubles and reorders.
func stormy(o *simulate.Options) {
	moderate(o)
	o.Transport = simulate.UDP
	o.ResponseTimeout = 300 * time.Millisecond
	o.Loss, o.Duplicate, o.Reorder, o.ReorderDelay = 0.2, 0.2, 0.2, 20*time.Millisecond
}

// TestUDPStorm: whatever the network does to datagrams, every record that is acknowledged is stored, and none twice.
func TestUDPStorm(t *testing.T) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { return redisStore(t) }, embeddedStore,
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, withUDP(t, store.settings))
			f := startFleet(t, s.devices, 100, stormy)
			f.awaitProgress(t, 10_000)
			ledger := f.end(t)
			if ledger.DatagramsLost == 0 || ledger.DatagramsCopied == 0 || ledger.DatagramsDelayed == 0 {
				t.Errorf("a calm storm: %+v", ledger)
			}
			if s.series("teltonika_records_published_total", `transport="udp"`, `codec="8"`) == 0 {
				t.Error("no records counted as udp")
			}
			s.wantBalance()
			s.wantBalanceOf("udp")
			if code := s.stop(syscall.SIGTERM, patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
			store.wantAll(t, f.acknowledged(), false)
		})
	}
}

// TestKillServerUnderDatagrams is TestKillServer over UDP, where nothing tells the devices that the server has gone.
func TestKillServerUnderDatagrams(t *testing.T) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { return redisStore(t) }, embeddedStore,
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			settings := withUDP(t, store.settings)
			s := startServer(t, settings)
			f := startFleet(t, s.devices, 80, stormy)
			f.amidKills(t, s, settings, crashTime(t)/2)
			store.wantAll(t, f.acknowledged(), false)
		})
	}
}

// wantBalanceOf is wantBalance for one transport.
func (s *server) wantBalanceOf(transport string) {
	s.t.Helper()
	by := `transport="` + transport + `"`
	testkit.Eventually(s.t, "the books of "+transport+" balance", func() bool {
		received, rest := s.series("teltonika_records_received_total", by), 0.0
		for _, outcome := range []string{"published", "duplicate", "dead_lettered", "refused"} {
			rest += s.series("teltonika_records_"+outcome+"_total", by)
		}
		return received > 0 && received == rest
	})
}

// TestUDPOnAllAddresses: on a socket for all addresses of both families a device is answered from the one that it sends
// to.
func TestUDPOnAllAddresses(t *testing.T) {
	t.Parallel()
	store := embeddedStore(t)
	settings := withUDP(t, store.settings)
	settings["BIND_ADDRESS"] = ""
	s := startServer(t, settings)
	_, port, err := net.SplitHostPort(s.address("devices-udp"))
	if err != nil {
		t.Fatal(err)
	}
	for i, host := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		imei := fmt.Sprintf("35630704244102%d", i)
		from := exchangeDatagram(t, netip.MustParseAddrPort(net.JoinHostPort(host, port)), imei)
		if d := s.device(imei); !strings.HasSuffix(d.Address, fmt.Sprint(":", from)) || d.Transport != "udp" {
			t.Errorf("the device at port %d is shown as %+v", from, d)
		}
	}
	s.wantBalanceOf("udp")
	if n := len(store.payloads(t)); n != 3 {
		t.Errorf("%d records stored", n)
	}
}

// exchangeDatagram sends one record until it is answered, on a socket that takes answers from anywhere, and returns the
// device's port.
func exchangeDatagram(t *testing.T, to netip.AddrPort, imei string) (port int) {
	t.Helper()
	body := teltonika.AVLData{Codec: teltonika.Codec8, Records: []teltonika.Record{{Timestamp: recordTime}}}
	frame, err := body.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := teltonika.Datagram{PacketID: 0xCAFE, Type: 1, AVLPacketID: 5, IMEI: imei, Body: teltonika.Frame(frame).Body()}
	datagram, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 100)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := conn.WriteToUDPAddrPort(datagram, to); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			continue
		}
		if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); from != to ||
			!bytes.Equal(b[:n], d.AppendAnswer(nil, 1)) {
			t.Errorf("answer % x from %v, want it from %v", b[:n], from, to)
		}
		return conn.LocalAddr().(*net.UDPAddr).Port
	}
	t.Fatalf("no answer from %v", to)
	return 0
}

// TestRestartUnderDatagrams restarts behind a socket that the service manager holds: what comes meanwhile waits in it.
func TestRestartUnderDatagrams(t *testing.T) {
	t.Parallel()
	const rounds = 2
	store := redisStore(t)
	socket, address := datagramSocket(t)
	port := strconv.Itoa(testkit.FreePort(t))
	start := func() *server {
		settings := maps.Clone(store.settings)
		settings["UDP_PORT"] = port // another one than the socket's
		return activated(t, settings, "devices-udp", socket)
	}
	s := start()
	f := startFleet(t, address, 20, func(o *simulate.Options) {
		o.Transport, o.Rate, o.ResponseTimeout = simulate.UDP, 500, 300*time.Millisecond
	})
	for range rounds {
		f.awaitProgress(t, 200)
		if code := s.stop(syscall.SIGTERM, patience); code != 0 {
			t.Errorf("exit code %d\n%s", code, s.tail(10))
		}
		s = start()
	}
	f.awaitProgress(t, 200)
	ledger := f.end(t)
	t.Logf("%d frames, %d sent again", ledger.FramesSent, ledger.FramesResent)
	s.awaitListening()
	s.wantBalanceOf("udp")
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	store.wantAll(t, f.acknowledged(), true) // a datagram whose answer was under way is known to the old process only
}

// datagramSocket is a UDP socket as a service manager holds it, and its address.
func datagramSocket(t testing.TB) (*os.File, string) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, conn.LocalAddr().String()
}

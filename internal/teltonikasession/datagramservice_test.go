package teltonikasession

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// packetService is a service that takes datagrams too.
type packetService struct {
	*service
	packets *ingest.PacketServer
	socket  *ingesttest.PacketConn // nil on real sockets
}

func newPacketService(tb testing.TB, change ...func(*Options)) *packetService {
	return newPacketServiceOf(tb, queueCapacity, change...)
}

func newPacketServiceOf(tb testing.TB, capacity int, change ...func(*Options)) *packetService {
	tb.Helper()
	s := &packetService{service: newServiceOf(tb, capacity, change...)}
	s.packets = ingest.NewPacketServer(ingest.PacketOptions{
		Adapter: s.adapter, MaxBytes: maxFrameBytes, Logger: s.adapter.Logger,
		Metrics: ingest.NewPacketMetrics(prometheus.WrapRegistererWithPrefix("teltonika_", s.registry)),
	})
	stopConnections := s.stop
	s.stop = sync.OnceFunc(func() {
		s.engine.Release()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.packets.Drain(ctx); err != nil {
			s.Errorf("drain the datagrams: %v", err)
		}
		stopConnections()
		s.expectMetric(0, "teltonika_udp_in_hand")
	})
	tb.Cleanup(s.stop)
	return s
}

// listen adds a socket in memory.
func (s *packetService) listen() {
	s.socket = ingesttest.NewPacketConn()
	s.packets.Serve(s.socket)
}

// servePackets is serve with a socket for datagrams.
func servePackets(t *testing.T, test func(*packetService), change ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newPacketService(t, change...)
		s.listen()
		test(s)
		s.stop()
		s.checkLedger()
		s.expectMetric(0, "teltonika_udp_dropped_total", "reason=panic")
	})
}

// listenUDP adds a real socket and returns its address.
func (s *packetService) listenUDP() string {
	s.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		s.Fatal(err)
	}
	s.packets.Serve(conn)
	return conn.LocalAddr().String()
}

var home = netip.MustParseAddrPort("192.0.2.7:40001")

// send has the server receive a datagram from home.
func (s *packetService) send(b []byte) { s.socket.Send(b, home) }

// expect waits until nothing happens any more without time going on, and compares the answers since the last call,
// all to home.
func (s *packetService) expect(want ...string) {
	s.Helper()
	synctest.Wait()
	answers := s.socket.Answers()
	for i, a := range answers {
		if a.Device != home || i >= len(want) || hex.EncodeToString(a.Data) != want[i] {
			s.Errorf("answer %d is %x to %v, want %v", i, a.Data, a.Device, want)
		}
	}
	if len(answers) != len(want) {
		s.Errorf("%d answers, want %d", len(answers), len(want))
	}
}

// datagramOf is a datagram around the data field of a TCP frame.
func datagramOf(imei string, avlID byte, frame []byte) []byte {
	d := teltonika.Datagram{PacketID: 0xCAFE, Type: 1, AVLPacketID: avlID, IMEI: imei, Body: teltonika.Frame(frame).Body()}
	b, err := d.Append(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// answerTo is the answer to a datagram of datagramOf in hex.
func answerTo(avlID byte, records int) string {
	d := teltonika.Datagram{PacketID: 0xCAFE, AVLPacketID: avlID}
	return hex.EncodeToString(d.AppendAnswer(nil, records))
}

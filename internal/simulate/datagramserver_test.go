package simulate

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// datagramServer is a strict server of datagrams: each must be right, and be numbered as the device must number it.
// What it answers is up to the test.
type datagramServer struct {
	server
	reply func(packet packet) [][]byte // nil = acknowledge

	packets map[string][]packet // by IMEI
}

// packet is a datagram that has arrived.
type packet struct {
	arrival
	teltonika.Datagram
	size int
	from string
	at   time.Time
}

// ack is the right answer.
func (p packet) ack() []byte { return p.AppendAnswer(nil, len(p.records)) }

// listenUDP starts the server on a socket. It ends with the test.
func (s *datagramServer) listenUDP() (address string) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.tb.Fatal(err)
	}
	s.wg.Go(func() {
		b := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			for _, answer := range s.take(slices.Clone(b[:n]), from.String()) {
				conn.WriteTo(answer, from)
			}
		}
	})
	s.stop = conn
	s.tb.Cleanup(s.close)
	return conn.LocalAddr().String()
}

// dialDatagrams connects to the server through pipes that keep datagrams apart, for tests in virtual time.
func (s *datagramServer) dialDatagrams() Dialer {
	return func(_ context.Context, _ int) (net.Conn, error) {
		near, far := net.Pipe()
		answers := make(chan []byte, 1000)
		s.wg.Go(func() {
			for b := range answers {
				far.Write(b) // fails when the device has left
			}
		})
		s.wg.Go(func() {
			defer close(answers)
			defer far.Close()
			for b := make([]byte, 65536); ; {
				n, err := far.Read(b)
				if err != nil {
					return
				}
				for _, answer := range s.take(slices.Clone(b[:n]), "pipe") {
					answers <- answer
				}
			}
		})
		return near, nil
	}
}

// take checks and keeps a datagram and returns the answers to it.
func (s *datagramServer) take(b []byte, from string) [][]byte {
	if len(b) == 1 && b[0] == teltonika.KeepAlive {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keepAlives++
		return nil
	}
	d, err := teltonika.ParseDatagram(b)
	if err != nil || !d.LengthOK() || d.Type != 1 || len(b) > 1300 {
		s.tb.Errorf("datagram of %d bytes % x: %v", len(b), b, err)
		return nil
	}
	p := packet{s.arrived(d.IMEI, teltonika.AppendFrame(nil, d.Body)), d, len(b), from, time.Now()}
	s.mu.Lock()
	if s.packets == nil {
		s.packets = make(map[string][]packet)
	}
	s.packets[d.IMEI] = append(s.packets[d.IMEI], p)
	s.mu.Unlock()
	if s.reply != nil {
		return s.reply(p)
	}
	return [][]byte{p.ack()}
}

// checkNumbers checks that each packet id is of one transmission, and each AVL packet id of one frame after the other.
func (s *datagramServer) checkNumbers(t *testing.T) {
	t.Helper()
	for imei, packets := range s.packets {
		packets = slices.Clone(packets)
		first := packets[0].PacketID - 1000 // before any that has arrived late
		slices.SortStableFunc(packets, func(a, b packet) int { return int(a.PacketID-first) - int(b.PacketID-first) })
		for i := range packets[1:] {
			a, b := packets[i], packets[i+1]
			again, next := a.AVLPacketID == b.AVLPacketID, a.AVLPacketID+1 == b.AVLPacketID
			if same(a.arrival, b.arrival) != again || !again && !next || a.PacketID == b.PacketID && !again {
				t.Fatalf("device %s: packet %d of AVL packet %d is followed by %d of %d, the same records: %v",
					imei, a.PacketID, a.AVLPacketID, b.PacketID, b.AVLPacketID, same(a.arrival, b.arrival))
			}
		}
	}
}

package teltonikasession

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// lossy is a socket behind a network that loses, doubles and reorders what is written, and loses what is read.
type lossy struct {
	net.Conn
	rand *rand.Rand
	late [][]byte // overtaken by what comes next
}

const loss = 0.2

func (l *lossy) Write(b []byte) (int, error) {
	late := l.late
	l.late = nil
	switch p := l.rand.Float64(); {
	case p < loss:
	case p < 2*loss: // twice, and once more later
		l.late = [][]byte{bytes.Clone(b)}
		late = append(late, b, b)
	case p < 3*loss:
		l.late = [][]byte{bytes.Clone(b)}
	default:
		late = append([][]byte{b}, late...)
	}
	for _, b := range late {
		if _, err := l.Conn.Write(b); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (l *lossy) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		if err != nil || l.rand.Float64() >= loss {
			return n, err
		}
	}
}

// stormDevice sends its datagrams one after the other, each again and again until it is answered, as trackers do.
func stormDevice(t *testing.T, address, imei string, seed uint64, frames [][]byte) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	l := &lossy{Conn: conn, rand: rand.New(rand.NewPCG(seed, 1))}
	b := make([]byte, 100)
	for i, frame := range frames {
		datagram := datagramOf(imei, byte(i), frame)
		want := answerTo(byte(i), teltonika.Frame(frame).Count())
		for tries := 0; ; tries++ {
			if tries == 500 {
				t.Errorf("%s: no answer to datagram %d", imei, i)
				return
			}
			if _, err := l.Write(datagram); err != nil {
				t.Error(err)
				return
			}
			if answered(l, b, want) {
				break
			}
		}
	}
}

// answered waits a moment for the answer. Those to what was sent before come too.
func answered(l *lossy, b []byte, want string) bool {
	l.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	for {
		n, err := l.Read(b)
		if err != nil {
			return false
		}
		if hex.EncodeToString(b[:n]) == want {
			return true
		}
	}
}

// A network that loses a fifth, doubles a fifth and reorders a fifth, and an engine that fails now and then: at the end
// every record is stored exactly once.
func TestStormOfDatagrams(t *testing.T) {
	s := newPacketService(t)
	addresses := []string{s.listenUDP(), s.listenUDP()}
	s.engine.Fail(failEvery(7, &engine.Error{Transient: true, Err: errEngine}))
	const devices, datagrams = 40, 20
	records := 0
	var storm sync.WaitGroup
	for i := range devices {
		var frames [][]byte
		for j := range datagrams {
			frames = append(frames, frameOf(teltonika.Codec8E, fresh(1+j%5)...))
			records += 1 + j%5
		}
		storm.Go(func() { stormDevice(t, addresses[i%2], spoofed(i), uint64(i), frames) })
	}
	storm.Wait()
	s.stop()
	s.checkLedger()
	s.expectStored(records, 0)
	ids := make(map[string]bool)
	for _, r := range s.engine.Records() {
		ids[r.ID] = true
	}
	if len(ids) != records {
		t.Errorf("%d different records stored, want %d", len(ids), records)
	}
	if again := s.total("teltonika_records_duplicate_total"); again < float64(records)/4 {
		t.Errorf("only %v records came twice: was it a storm?", again)
	}
}

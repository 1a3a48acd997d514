package simulate

import (
	"sync/atomic"
	"time"
)

// meter counts what the fleet does. It is made of shards, each used by a part of the devices, so that
// counting needs no lock and little shared memory; reading adds the shards up, at any time.
type meter struct {
	start  time.Time
	shards []shard
}

type shard struct {
	tally     [events]atomic.Int64
	firstSent atomic.Int64 // ns since the meter's start, 0 = nothing sent
	lastAck   atomic.Int64
	latency   histogram
}

// event is one of the things that are counted.
type event int

const (
	connections event = iota
	connected         // now
	connectFailures
	handshakeFailures
	loginsRefused
	givenUp    // devices that stay away after being refused again and again
	framesSent // each once
	recordsSent
	framesAcknowledged
	recordsAcknowledged
	framesResent // transmissions after the first
	recordsResent
	noAnswer    // transmissions that were not answered in time
	interrupted // transmissions whose connection ended before the answer
	wrongAnswers
	keepAlives
	bytesSent
	notRecorded // records that did not fit into a backlog
	commandsReceived
	commandsAnswered // each once
	commandsNacked
	commandsOverlapping // that came before the answer to the one before was sent
	answersCopied       // sent after the same answer
	messagesSent
	messagesConfirmed // by the ACK of a later frame
	datagramsLost
	datagramsCopied
	datagramsDelayed
	answersLate // to a transmission of a frame that another answer has acknowledged
	events      // their number
)

func newMeter(shards int) *meter { return &meter{start: time.Now(), shards: make([]shard, shards)} }

// shard returns the part for a device.
func (m *meter) shard(device int) *shard { return &m.shards[device%len(m.shards)] }

func (m *meter) sum(e event) int64 {
	total := int64(0)
	for i := range m.shards {
		total += m.shards[i].tally[e].Load()
	}
	return total
}

func (m *meter) latencies() *counts {
	merged := new(counts)
	for i := range m.shards {
		merged.merge(&m.shards[i].latency)
	}
	return merged
}

// active is the time from the first frame sent to the last ACK.
func (m *meter) active() time.Duration {
	first, last := int64(0), int64(0)
	for i := range m.shards {
		if n := m.shards[i].firstSent.Load(); n > 0 && (first == 0 || n < first) {
			first = n
		}
		last = max(last, m.shards[i].lastAck.Load())
	}
	return time.Duration(max(0, last-first))
}

func (s *shard) count(e event, n int) { s.tally[e].Add(int64(n)) }

// sent counts the transmission of a frame at a time since the meter's start.
func (s *shard) sent(f *frame, at time.Duration) {
	if f.sent > 0 {
		s.count(framesResent, 1)
		s.count(recordsResent, f.count)
		return
	}
	s.count(framesSent, 1)
	s.count(recordsSent, f.count)
	if s.firstSent.Load() == 0 {
		s.firstSent.CompareAndSwap(0, max(1, int64(at)))
	}
}

// acknowledged counts the ACK of a frame.
func (s *shard) acknowledged(f *frame, at, latency time.Duration) {
	s.count(framesAcknowledged, 1)
	s.count(recordsAcknowledged, f.count)
	s.latency.add(latency)
	if at := int64(at); at > s.lastAck.Load() {
		s.lastAck.Store(at) // two devices may race; the times differ by microseconds then
	}
}

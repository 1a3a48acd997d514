package ingest

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// PacketAdapter speaks a device protocol whose messages are datagrams.
type PacketAdapter interface {
	// Take takes a datagram without waiting for anything. It returns what is left to be waited for, nil if nothing is.
	// p.Data is no longer its own when it returns.
	Take(p Packet) Pending
}

// Pending is a datagram that waits for its answer.
type Pending interface {
	// Settle waits, not for ever, and answers the datagram, or leaves it without an answer.
	Settle()
}

// Packet is a datagram and where its answer goes.
type Packet struct {
	Data   []byte
	From   netip.AddrPort // nobody vouches for it
	to     source
	size   int // of Data
	conn   PacketConn
	server *PacketServer
}

var errLargerAnswer = errors.New("the answer is larger than the datagram")

// Answer sends b to where the datagram came from, from where it came to. An answer that is larger than the datagram is
// refused: it would make the server a lever for attacks on others.
func (p *Packet) Answer(b []byte) error {
	err := errLargerAnswer
	if len(b) <= p.size {
		_, _, err = p.conn.WriteMsgUDPAddrPort(b, p.to.control(), p.From)
	}
	if err != nil {
		p.server.options.Metrics.answersFailed.Inc()
	}
	return err
}

// PacketConn is a UDP socket. *net.UDPConn is one.
type PacketConn interface {
	ReadMsgUDPAddrPort(b, control []byte) (n, controlN, flags int, from netip.AddrPort, err error)
	WriteMsgUDPAddrPort(b, control []byte, to netip.AddrPort) (n, controlN int, err error)
	SetReadDeadline(t time.Time) error
	SetReadBuffer(bytes int) error
	Close() error
}

// PacketOptions are the settings of a PacketServer. All fields are needed.
type PacketOptions struct {
	Adapter  PacketAdapter
	MaxBytes int // of a datagram, up to 4 KiB
	Metrics  *PacketMetrics
	Logger   *slog.Logger
}

// PacketServer is the UDP shell around a device protocol: it reads datagrams, limits how many are in hand and how many
// of them may be one address's, contains panics, and stops in order.
//
// One goroutine reads a socket and takes each datagram as far as it goes without waiting; so the number of sockets is
// how many processors datagrams can take, whoever sends how many of them. What waits to be stored waits apart.
type PacketServer struct {
	options PacketOptions
	limiter *packetLimiter
	drain
	reading  sync.WaitGroup // sockets
	pending  sync.WaitGroup // datagrams
	warnings warnings

	mu    sync.Mutex
	conns []PacketConn
}

// NewPacketServer returns a server without sockets.
func NewPacketServer(o PacketOptions) *PacketServer {
	o.MaxBytes = min(o.MaxBytes, largestDatagram)
	return &PacketServer{options: o, limiter: newPacketLimiter(), drain: newDrain()}
}

const (
	// largestDatagram is the most that is taken of one, whatever MaxBytes says: three times what fits into a packet of
	// most networks. Strangers are not to fill the store with more.
	largestDatagram = 4 << 10
	// receiveBuffer is asked of the kernel, which grants as much as it is set to allow. It bridges moments in which
	// many devices send at once.
	receiveBuffer = 4 << 20
	// After so many datagrams that left nothing to wait for, as strangers' are dropped and refused, reading pauses, and
	// the kernel drops what is too much for less. That leaves room for 30,000 of them a second.
	idleRun   = 32
	idlePause = time.Millisecond
)

// Serve reads the socket in the background. The server closes it, at once if it is stopping.
func (s *PacketServer) Serve(c PacketConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDraining() {
		c.Close()
		return
	}
	s.conns = append(s.conns, c)
	_ = c.SetReadBuffer(receiveBuffer) // what the system has set is a size too
	s.reading.Go(func() {
		defer logging.ExitOnPanic(s.options.Logger)
		s.read(c)
	})
}

func (s *PacketServer) read(c PacketConn) {
	buffer, control := make([]byte, s.options.MaxBytes+1), make([]byte, controlRoom) // one too long is seen to be
	idle := 0
	for {
		n, controlN, _, from, err := c.ReadMsgUDPAddrPort(buffer, control)
		switch {
		case err == nil:
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) // of a socket for both families
			if s.handle(Packet{Data: buffer[:n:n], From: from, to: sourceOf(control[:controlN]), size: n, conn: c, server: s}) {
				continue
			}
			if idle++; idle%idleRun == 0 {
				time.Sleep(idlePause)
			}
		case s.isDraining(), errors.Is(err, net.ErrClosed):
			return
		default:
			s.options.Logger.Error("cannot read datagrams", "error", err, "retry_in", maxAcceptPause)
			if !backoff.Pause(s.running, maxAcceptPause) {
				return
			}
		}
	}
}

// handle has the adapter take the datagram when there is a place for it. While it waits for one the kernel keeps what
// comes, and drops what is too much, which costs the connections nothing. It reports whether the datagram waits to be
// settled.
func (s *PacketServer) handle(p Packet) bool {
	s.options.Metrics.received.Inc()
	if p.size > s.options.MaxBytes {
		s.drop(&p, dropTooLarge)
		return false
	}
	place, ok := s.limiter.reserve(p.From.Addr())
	if !ok {
		s.drop(&p, dropAddressBusy)
		return false
	}
	if !s.limiter.tryAcquire() {
		s.options.Metrics.waits.Inc()
		if !s.limiter.acquire(s.draining()) {
			s.limiter.unreserve(place)
			return false
		}
	}
	pending := s.adapt(p)
	if pending == nil {
		s.limiter.release(place)
		return false
	}
	s.options.Metrics.inHand.Inc()
	s.pending.Add(1)
	go func() {
		defer s.pending.Done()
		defer s.options.Metrics.inHand.Dec()
		defer s.limiter.release(place)
		defer s.contain(p.From)
		pending.Settle()
	}()
	return true
}

// adapt has the adapter take the datagram. A panic leaves nothing to wait for.
func (s *PacketServer) adapt(p Packet) Pending {
	defer s.contain(p.From)
	return s.options.Adapter.Take(p)
}

// contain is deferred: a panic ends the datagram and nothing else.
func (s *PacketServer) contain(from netip.AddrPort) {
	if p := recover(); p != nil {
		s.options.Metrics.dropped(dropPanic)
		s.options.Logger.Error("datagram panicked", "panic", p, "remote", from.String(), "stack", string(debug.Stack()))
	}
}

// drop counts a datagram that is not looked at. Its device sends it again.
func (s *PacketServer) drop(p *Packet, reason dropReason) {
	s.options.Metrics.dropped(reason)
	if s.warnings.due(reason, time.Now()) {
		s.options.Logger.Warn("datagrams dropped", "reason", string(reason), "remote", p.From.String())
	}
}

package teltonikasession

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// Frames larger than firstFrame, which trackers send rarely, take their memory from a budget that all sessions share:
// for bytes that have arrived, as the buffer doubles, and not for those that a length announces. When it is used up a
// session leaves the rest of its frame in the socket, and the device waits.
//
// An address may have as much as it leaves: one half, two a third each. So there is always something for the next
// address, whatever the others do.
const (
	largeFrameBudget = 64 << 20 // bytes of frames, and about three times that with what is made of them
	budgetTimeout    = 10 * time.Second
)

// While others wait for the budget, a frame ends for them of which in stallTimeout less than stallBytes arrive, or than
// would complete it in frameHaste. It ends only for those whose address has no more than its own.
const (
	stallTimeout = 3 * time.Second
	stallBytes   = 1 << 10
	stallCheck   = stallTimeout / 6
	frameHaste   = 20 * time.Second
)

// errBudget: no memory for a large frame within budgetTimeout, or it stalled while others waited for that.
var errBudget = errors.New("too many large frames at once")

// budget is the memory of large frames.
type budget struct {
	began time.Time

	mu      sync.Mutex // taken a few times for a large frame
	free    int        // bytes; negative while finishers have more than there was
	held    list.List  // of *claim with some bytes, the oldest first
	waiting list.List  // of *claim, the longest first
	shares  map[netip.Addr]*share
	// Finishers get what they need, so that frames that all wait for their rest do not wait for each other.
	finishers, mostFinishers int
}

// share is what the large frames of an address have of the budget.
type share struct {
	claims, bytes, finishers int
	wanted                   int           // bytes that they wait for
	checked                  time.Duration // from began: when one of them has last looked for stalled frames
}

// claim is a large frame's part of the budget. It reads the frame's bytes.
type claim struct {
	*budget
	conn     *ingest.Conn
	pace     int    // bytes that have to arrive in stallTimeout while others wait
	share    *share // nil before it has asked for any
	inHeld   *list.Element
	arrived  int          // bytes
	noted    int          // of arrived, at since
	reading  atomic.Bool  // it waits for the device
	since    atomic.Int64 // ns from began: when the last pace bytes were complete
	stalled  atomic.Bool  // it ends for others
	bytes    int          // of the budget
	finishes bool
	want     int // bytes that it waits for
	inWaits  *list.Element
	received chan struct{} // closed when it has what it wants
}

// newBudget returns a budget of so many bytes, an eighth of which finishers may have beside it, or one frame.
func newBudget(bytes, maxFrameBytes int) *budget {
	return &budget{began: time.Now(), free: bytes, shares: make(map[netip.Addr]*share),
		mostFinishers: max(1, bytes/8/maxFrameBytes)}
}

// claim begins a large frame of so many bytes.
func (b *budget) claim(conn *ingest.Conn, size int) *claim {
	return &claim{budget: b, conn: conn, pace: max(stallBytes, int(int64(size)*int64(stallTimeout)/int64(frameHaste)))}
}

// Read implements io.Reader.
func (c *claim) Read(b []byte) (int, error) {
	c.reading.Store(true)
	n, err := c.conn.Read(b)
	c.reading.Store(false)
	if c.arrived += n; c.arrived-c.noted >= c.pace {
		c.progress()
	}
	if err != nil && c.stalled.Load() {
		err = errBudget
	}
	return n, err
}

func (c *claim) progress() {
	c.noted = c.arrived
	c.since.Store(int64(time.Since(c.began)))
}

// grow takes so many bytes in all for the frame, and waits for them, but not when the server is stopping.
func (c *claim) grow(bytes int) error {
	defer c.progress() // what the device could not send meanwhile is not held against it
	if bytes <= c.bytes || c.ask(bytes-c.bytes) {
		return nil
	}
	defer c.withdraw()
	timeout, check := time.NewTimer(budgetTimeout), time.NewTicker(stallCheck)
	defer timeout.Stop()
	defer check.Stop()
	for {
		select {
		case <-c.received:
			return nil
		case <-check.C:
			c.endStalled()
		case <-timeout.C:
			return errBudget
		case <-c.conn.Draining():
			return &partial{error: ingest.ErrDraining}
		}
	}
}

// ask reports whether the claim has what it wants. If not it waits for it from now on.
func (c *claim) ask(want int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.join()
	c.want = want
	if c.finishes {
		c.grant()
		return true
	}
	c.received = make(chan struct{})
	c.inWaits = c.waiting.PushBack(c)
	c.share.wanted += want
	c.serve()
	return c.inWaits == nil
}

// join has the claim count for its address. The lock is held.
func (c *claim) join() {
	if c.share != nil {
		return
	}
	network := c.conn.Network()
	if c.share = c.shares[network]; c.share == nil {
		c.share = &share{}
		c.shares[network] = c.share
	}
	c.share.claims++
}

// grant gives the claim what it wants. The lock is held.
func (c *claim) grant() {
	if c.bytes == 0 {
		c.inHeld = c.held.PushBack(c)
	}
	c.free -= c.want
	c.bytes += c.want
	c.share.bytes += c.want
}

// serve gives those that wait what their addresses may have, in turn. Those that there is not enough for become
// finishers, if there are not too many. The lock is held.
func (b *budget) serve() {
	for e := b.waiting.Front(); e != nil; {
		c := e.Value.(*claim)
		e = e.Next()
		if c.share.bytes+c.want > b.free-c.want && !c.finish() {
			continue
		}
		c.leaveWaiting()
		c.grant()
		close(c.received)
	}
}

// finish makes the claim a finisher, of which an address may have as many as it leaves too. The lock is held.
func (c *claim) finish() bool {
	if c.share.finishers >= c.mostFinishers-c.budget.finishers {
		return false
	}
	c.budget.finishers++
	c.share.finishers++
	c.finishes = true
	return true
}

// withdraw has the claim wait no longer.
func (c *claim) withdraw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inWaits != nil {
		c.leaveWaiting()
	}
}

// leaveWaiting takes the claim out of those that wait. The lock is held.
func (c *claim) leaveWaiting() {
	c.waiting.Remove(c.inWaits)
	c.inWaits = nil
	c.share.wanted -= c.want
}

// end gives everything back.
func (c *claim) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.share == nil {
		return
	}
	if c.inHeld != nil {
		c.held.Remove(c.inHeld)
	}
	c.free += c.bytes
	c.share.bytes -= c.bytes
	if c.finishes {
		c.budget.finishers--
		c.share.finishers--
	}
	if c.share.claims--; c.share.claims == 0 {
		delete(c.shares, c.conn.Network())
	}
	c.serve()
}

// endStalled ends as many frames that have stalled, the oldest first, as those of its address that wait need. One of
// them does it for all.
func (w *claim) endStalled() {
	b := w.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Since(b.began)
	if w.inWaits == nil || now-w.share.checked < stallCheck {
		return
	}
	w.share.checked = now
	missing := w.share.wanted
	for e := b.held.Front(); e != nil && missing > 0; e = e.Next() {
		c := e.Value.(*claim)
		if c.share.bytes < w.share.bytes || !c.reading.Load() || time.Duration(c.since.Load()) > now-stallTimeout {
			continue
		}
		missing -= c.bytes
		if !c.stalled.Swap(true) {
			c.conn.Wake()
		}
	}
}

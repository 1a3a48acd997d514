package teltonikasession

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// Frames larger than firstFrame, which trackers send rarely, take their memory from a budget that all sessions share: for
// bytes that have arrived, as the buffer doubles, and not for those that a length announces. When it is used up a session
// leaves the rest of its frame in the socket, and the device waits.
const (
	largeFrameBudget = 64 << 20 // bytes of frames, and about three times that with what is made of them
	budgetPatience   = 10 * time.Second
)

// While others wait for the budget, a frame of which less than stallBytes arrive in stallPatience ends for them.
const (
	stallPatience = 3 * time.Second
	stallBytes    = 1 << 10
	stallCheck    = stallPatience / 6
)

// errBudget: no memory for a large frame within budgetPatience, or it stalled while others waited for that.
var errBudget = errors.New("too many large frames at once")

// budget is the memory of large frames.
type budget struct {
	began time.Time

	mu      sync.Mutex // taken a few times for a large frame
	free    int        // bytes; negative while finishers have more than there was
	held    list.List  // of *claim with some bytes, the oldest first
	waiting list.List  // of *claim, the longest first
	// Finishers get what they need, so that frames that all wait for their rest do not wait for each other.
	finishers, mostFinishers int
}

// claim is a large frame's part of the budget. It reads the frame's bytes.
type claim struct {
	*budget
	conn     *ingest.Conn
	inHeld   *list.Element
	arrived  int          // bytes
	noted    int          // of arrived, at since
	reading  atomic.Bool  // it waits for the device
	since    atomic.Int64 // ns from began: when the last stallBytes were complete
	stalled  atomic.Bool  // it ends for others
	bytes    int          // of the budget
	finishes bool
	want     int // bytes that it waits for
	inWaits  *list.Element
	received chan struct{} // closed when it has what it wants
}

// newBudget returns a budget of so many bytes, an eighth of which finishers may have beside it, or one frame.
func newBudget(bytes, maxFrameBytes int) *budget {
	return &budget{began: time.Now(), free: bytes, mostFinishers: max(1, bytes/8/maxFrameBytes)}
}

// claim begins a large frame.
func (b *budget) claim(conn *ingest.Conn) *claim { return &claim{budget: b, conn: conn} }

// Read implements io.Reader.
func (c *claim) Read(b []byte) (int, error) {
	c.reading.Store(true)
	n, err := c.conn.Read(b)
	c.reading.Store(false)
	if c.arrived += n; c.arrived-c.noted >= stallBytes {
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
	patience, check := time.NewTimer(budgetPatience), time.NewTicker(stallCheck)
	defer patience.Stop()
	defer check.Stop()
	for {
		select {
		case <-c.received:
			return nil
		case <-check.C:
			c.endStalled()
		case <-patience.C:
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
	c.want = want
	if c.finishes {
		c.grant()
		return true
	}
	c.received = make(chan struct{})
	c.inWaits = c.waiting.PushBack(c)
	c.serve()
	return c.inWaits == nil
}

// grant gives the claim what it wants. The lock is held.
func (c *claim) grant() {
	if c.bytes == 0 {
		c.inHeld = c.held.PushBack(c)
	}
	c.free -= c.want
	c.bytes += c.want
}

// serve gives those that wait what there is, in turn. The first that there is not enough for becomes a finisher, if
// there are not too many. The lock is held.
func (b *budget) serve() {
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		c := e.Value.(*claim)
		if b.free < c.want {
			if b.finishers == b.mostFinishers {
				return
			}
			b.finishers++
			c.finishes = true
		}
		b.waiting.Remove(e)
		c.inWaits = nil
		c.grant()
		close(c.received)
	}
}

// withdraw has the claim wait no longer.
func (c *claim) withdraw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inWaits != nil {
		c.waiting.Remove(c.inWaits)
		c.inWaits = nil
	}
}

// end gives everything back.
func (c *claim) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inHeld != nil {
		c.held.Remove(c.inHeld)
	}
	c.free += c.bytes
	if c.finishes {
		c.finishers--
	}
	c.serve()
}

// endStalled ends as many frames that have stalled, the oldest first, as those that wait need. The first that waits does it
// for all.
func (w *claim) endStalled() {
	b := w.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.inWaits == nil || b.waiting.Front() != w.inWaits {
		return
	}
	missing := -b.free
	for e := b.waiting.Front(); e != nil; e = e.Next() {
		missing += e.Value.(*claim).want
	}
	before := time.Since(b.began) - stallPatience
	for e := b.held.Front(); e != nil && missing > 0; e = e.Next() {
		c := e.Value.(*claim)
		if !c.reading.Load() || time.Duration(c.since.Load()) > before {
			continue
		}
		missing -= c.bytes
		if !c.stalled.Swap(true) {
			c.conn.Wake()
		}
	}
}

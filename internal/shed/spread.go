package shed

import (
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// Devices are those that are connected. A [command.Dispatcher] knows them.
type Devices interface {
	Connections() iter.Seq[command.Connection]
	// Dismiss ends the connection between two frames. It reports false if it does not, because the connection is no more
	// or a command is in hand.
	Dismiss(command.Connection) bool
}

// pace is n connections over so long.
type pace struct {
	n    int
	over time.Duration
}

// due is when the connection of that index has its turn.
func (p pace) due(i int) time.Duration {
	return time.Duration(float64(p.over) * float64(i) / float64(p.n))
}

// tick is the shortest pause between two connections: several have their turn together if there are so many.
const tick = time.Millisecond

// spread dismisses so many of the connections, in random order and evenly over the time, and tells of each. In the
// place of one that stays it takes another. It ends early with ctx.
func spread(ctx context.Context, d Devices, of []command.Connection, p pace, told func()) {
	rand.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	began, next := time.Now(), 0
	for i := range p.n {
		if wait := p.due(i) - time.Since(began); wait >= tick && !backoff.Pause(ctx, wait) || ctx.Err() != nil {
			return
		}
		for ; next < len(of) && !d.Dismiss(of[next]); next++ {
		}
		if next == len(of) {
			return
		}
		next++
		told()
	}
}

// All dismisses every connection, evenly over so long, so that a stop is no wave of devices that come back at once. One
// whose device has a command in hand stays, so the caller has to end what is left.
func All(ctx context.Context, d Devices, over time.Duration) {
	of := slices.Collect(d.Connections())
	spread(ctx, d, of, pace{len(of), over}, func() {})
}

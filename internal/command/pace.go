package command

import "time"

// What one device may be sent: paceBurst commands in a row, and then one every paceInterval.
const (
	paceBurst    = 20
	paceInterval = 2 * time.Second
)

// pace is how much of that a device has used. Its zero value has used nothing.
type pace struct {
	free time.Time // when all of the burst is there again
}

// take uses one.
func (p *pace) take(now time.Time) {
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(paceInterval)
}

// due is how long the next command has to wait.
func (p *pace) due(now time.Time) time.Duration {
	return max(0, p.full(now)-(paceBurst-1)*paceInterval)
}

// full is how long it takes until nothing is used.
func (p *pace) full(now time.Time) time.Duration { return max(0, p.free.Sub(now)) }

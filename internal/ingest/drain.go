package ingest

import "context"

// drain is a server's stop. It begins once.
type drain struct {
	running context.Context // ends when draining begins
	begin   context.CancelFunc
}

func newDrain() drain {
	running, begin := context.WithCancel(context.Background())
	return drain{running, begin}
}

func (d *drain) draining() <-chan struct{} { return d.running.Done() }

func (d *drain) isDraining() bool { return d.running.Err() != nil }

package publish

import "time"

// Wait is the rest of Publish after Submit. The frame is no longer the caller's.
func (p *Publisher) Wait(f *Frame) (Outcome, error) {
	select {
	case <-f.done:
	case <-f.timer.C:
		if f.state.CompareAndSwap(pending, abandoned) {
			return Outcome{}, ErrTimeout
		}
		<-f.done
	}
	return p.result(f)
}

// askEvery is how often WaitWhile asks.
const askEvery = time.Second

// WaitWhile is Wait for a frame that nobody sends again: it goes on, also beyond the publish timeout, while wanted says
// so, which it asks every second. If that says no, the frame is not settled and still the caller's, and Detach or Wait
// is due. Wait then ends at the publish timeout, counted from Submit.
func (p *Publisher) WaitWhile(f *Frame, wanted func() bool) (o Outcome, settled bool, err error) {
	for {
		f.timer.Reset(askEvery)
		select {
		case <-f.done:
			o, err = p.result(f)
			return o, true, err
		case <-f.timer.C:
			if !wanted() {
				f.timer.Reset(p.options.Timeout - time.Since(f.submitted))
				return Outcome{}, false, nil
			}
		}
	}
}

// Detach leaves a submitted frame to its lane, if it fits into the quota: it keeps its place, and is stored however
// long the engine takes. Its lane calls settle with the outcome, which must not block. Once the publisher drains the
// frame is given up when the engine fails, with ErrClosed. Without room, and if the frame is settled already, Detach
// returns false, and Wait is due.
func (p *Publisher) Detach(f *Frame, quota *Quota, settle func(Outcome, error)) bool {
	if withinItems, withinBytes := quota.take(f.admitted), quota.takeBytes(f.bytes); withinItems && withinBytes {
		f.later, f.settle = quota, settle
		f.timer.Stop()
		if f.state.CompareAndSwap(pending, detached) {
			return true
		}
		f.later, f.settle = nil, nil
	}
	quota.give(f.admitted, f.bytes)
	return false
}

// result is that of a frame that is settled.
func (p *Publisher) result(f *Frame) (Outcome, error) {
	f.timer.Stop()
	outcome, err, submitted := f.outcome, f.err, f.submitted
	p.release(f)
	if err == nil {
		p.options.Metrics.duration.Observe(time.Since(submitted).Seconds())
	}
	return outcome, err
}

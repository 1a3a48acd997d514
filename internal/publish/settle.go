package publish

import (
	"errors"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// settle answers the frames of a batch that the engine has taken, item by item. It reports false when frames
// are to be written again because items of theirs failed in a way that a retry can cure.
func (l *lane) settle() bool {
	var lost [engine.Kinds]bool
	if l.asks() {
		lost = l.forgetLost()
	}
	failed, apart := l.collect()
	if l.asks() {
		l.report(failed)
	}
	var again []*Frame
	for i := range l.members {
		m := &l.members[i]
		if m.err == nil && failed != nil && m.outcome.Duplicates+m.outcome.DeadLettered > 0 {
			// Its duplicates may be copies of an item that failed just now.
			m.err = failed
		}
		if apart && m.err == nil && m.outcome.Duplicates+m.outcome.DeadLettered > 0 && l.refusesOf(m.frame.device) {
			again = append(again, m.frame) // as above, but the engine works and others' items are no copies
			continue
		}
		if m.err != nil && engine.IsTransient(m.err) {
			again = append(again, m.frame)
			continue
		}
		if m.err == nil && m.reliesOn(lost) {
			m.frame.doubted = true
			again = append(again, m.frame)
			continue
		}
		l.finish(m.frame, m.outcome, m.err)
	}
	l.waiting = slices.Insert(l.waiting, 0, again...)
	l.clearBatch()
	return len(again) == 0 || failed == nil
}

// reliesOn reports whether an item was left out because one of these kinds was remembered.
func (m *member) reliesOn(kinds [engine.Kinds]bool) bool {
	for k := range kinds {
		if kinds[k] && m.known[k] {
			return true
		}
	}
	return false
}

// forgetLost forgets what is remembered of those kinds of which the engine no longer has all, but for the batch that
// has just been written.
func (l *lane) forgetLost() (lost [engine.Kinds]bool) {
	for k, epoch := range l.batch.Epochs {
		lost[k] = epoch != l.epochs[k] && l.epochs[k] != 0
		l.epochs[k] = epoch
		if !lost[k] {
			continue
		}
		l.p.noteLost(engine.Kind(k))
		l.dedup[k].forget()
		for _, it := range l.items[k] {
			l.dedup[k].add(l.members[it.member].frame, it.key)
		}
	}
	return lost
}

// collect adds up the members' results and returns an error of those that failed, nil if none did, and whether there
// are items of which the refusal says nothing against the engine.
func (l *lane) collect() (failed error, apart bool) {
	results := l.batch.Results
	for k, items := range l.items {
		for i, it := range items {
			m, result := &l.members[it.member], &results[i]
			if result.Err != nil {
				l.dedup[k].remove(it.key)
				m.err = result.Err
				if isApart(result.Err) {
					apart = true
				} else {
					failed = result.Err
				}
				continue
			}
			m.outcome.count(engine.Kind(k), result.Duplicate)
		}
		results = results[len(items):]
	}
	return failed, apart
}

// isApart reports whether an item is refused for what it is, by an engine that works.
func isApart(err error) bool {
	return errors.Is(err, engine.ErrTooLarge) || errors.Is(err, engine.ErrMovedOn)
}

// refusesOf reports whether the engine has refused such an item of the device.
func (l *lane) refusesOf(device uint64) bool {
	return slices.ContainsFunc(l.members, func(m member) bool { return m.frame.device == device && isApart(m.err) })
}

// requeue takes the batch apart: its frames wait again, in their order and before all others.
func (l *lane) requeue() {
	l.forget()
	frames := make([]*Frame, len(l.members))
	for i, m := range l.members {
		frames[i] = m.frame
	}
	l.waiting = slices.Insert(l.waiting, 0, frames...)
	l.clearBatch()
}

// giveBack refuses every frame of the batch.
func (l *lane) giveBack(err error) {
	l.forget()
	for _, m := range l.members {
		l.finish(m.frame, Outcome{}, err)
	}
	l.clearBatch()
}

// forget takes back that the batch's items were remembered.
func (l *lane) forget() {
	for k, items := range l.items {
		for _, it := range items {
			l.dedup[k].remove(it.key)
		}
	}
}

func (l *lane) clearBatch() {
	b := &l.batch
	clear(b.Records)
	clear(b.DeadLetters)
	clear(b.Messages)
	clear(l.members)
	b.Records, b.DeadLetters, b.Messages = b.Records[:0], b.DeadLetters[:0], b.Messages[:0]
	b.ID += uint64(len(l.p.lanes))
	l.doubtful = false
	b.Known = [engine.Kinds]bool{}
	l.members, l.bytes = l.members[:0], 0
	for k := range l.items {
		l.items[k] = l.items[k][:0]
	}
}

// finish tells the frame's session, or releases the frame if that no longer waits.
func (l *lane) finish(f *Frame, outcome Outcome, err error) {
	f.outcome, f.err = outcome, err
	if f.state.CompareAndSwap(pending, settled) {
		f.done <- struct{}{}
		return
	}
	if f.settle != nil {
		f.settle(outcome, err)
	} else if err == nil {
		l.p.options.Metrics.late.Add(float64(outcome.Published))
	}
	l.p.release(f)
}

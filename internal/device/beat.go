package device

import (
	"context"
	"slices"
	"time"
)

// Processes say that they live, so that a device is not thought to be connected for ever to one that has died.

func (m *Memory) runName() string { return runName(m.Instance, m.run) }

// beat says now and then that this process lives, and looks after those that do not any more.
func (k *keeper) beat(ctx context.Context) error {
	if time.Since(k.beatAt) < beatEvery {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := k.memory.Store.Beat(limited, k.memory.runName())
	if err == nil {
		err = k.sweep(ctx)
	}
	if ctx.Err() == nil {
		k.note(&k.beats, callBeat, err)
	}
	if err != nil {
		return err
	}
	if !k.beatAt.IsZero() && time.Since(k.beatAt) >= 3*beatEvery { // others have taken this process for dead
		k.memory.each((*Device).saveAgain)
	}
	k.beatAt = time.Now()
	return nil
}

// saveAgain has a device that is connected be saved soon.
func (d *Device) saveAgain() {
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	if d.track.open {
		d.track.changed(true)
	}
}

// sweep has the devices of dead processes be gone.
func (k *keeper) sweep(ctx context.Context) error {
	m := k.memory
	heard, err := m.Store.Heard(ctx)
	if err != nil {
		return err
	}
	var dead []string
	for run := range heard {
		if run != m.runName() && !m.lives(run, heard) {
			dead = append(dead, run)
		}
	}
	if len(dead) == 0 {
		return nil
	}
	for after := ""; ; {
		page, err := m.Store.List(ctx, StateConnected, after, saveBatch)
		if err != nil {
			return err
		}
		var lost []Kept
		for _, d := range page {
			if after = d.IMEI; d.Presence != nil && slices.Contains(dead, d.Presence.Run()) {
				d.Presence.lose(heard, time.Now())
				lost = append(lost, d)
			}
		}
		if len(lost) > 0 {
			if err := m.Store.Save(ctx, lost); err != nil {
				return err
			}
		}
		if len(page) < saveBatch {
			break
		}
	}
	return m.Store.Forget(ctx, dead)
}

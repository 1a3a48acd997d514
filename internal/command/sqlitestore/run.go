package sqlitestore

import (
	"context"
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// page is how many commands one transaction reads or ends at most.
const page = 200

// Run implements command.Store.
func (s *Store) Run(ctx context.Context, r command.Receiver) {
	tick := time.NewTicker(s.sweepTime)
	defer tick.Stop()
	var cleaned time.Time
	err := s.sweep(ctx, r)
	for ctx.Err() == nil {
		if err == nil {
			err = s.handOut(ctx, r)
		}
		if due := s.Err() != nil || s.now().Sub(cleaned) >= cleanEvery; due && err == nil { // it works only if it writes
			if err = s.clean(ctx); err == nil {
				cleaned = s.now()
			}
		}
		s.note(ctx, err)
		err = nil
		select {
		case <-s.devices.wake:
		case <-tick.C:
			err = s.sweep(ctx, r)
		case <-ctx.Done():
		}
	}
}

// errNotTried is the state before the first write.
var errNotTried = errors.New("not tried yet")

// note keeps the state, and logs when the file cannot be used any more and when it can be again. The methods return
// their own errors to their callers.
func (s *Store) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		if _, due := s.health.Failed(err); due {
			s.log.Error("command database cannot be used, trying again", "error", err)
		}
	} else if s.health.Worked() != nil {
		s.log.Info("command database can be used again", "path", s.path)
	}
	s.tried.Store(true)
}

// Err implements command.Store.
func (s *Store) Err() error {
	if f := s.health.Failure(); f != nil {
		return f.Err
	}
	if !s.tried.Load() {
		return errNotTried
	}
	return nil
}

// Shared implements command.Store. One process has the file.
func (s *Store) Shared() bool { return false }

// handOut gives the receiver what waits for it.
func (s *Store) handOut(ctx context.Context, r command.Receiver) error {
	for imei, at, ok := s.devices.next(); ok; imei, at, ok = s.devices.next() {
		open, err := transact(ctx, s, func(tx *transaction) ([]row, error) {
			return tx.rows(`imei = ? AND seq > ? AND state IN ('queued', 'sent') ORDER BY seq LIMIT ?`, imei, at.handed, page)
		})
		if err != nil {
			s.devices.again(imei)
			return err
		}
		if len(open) == 0 || !s.devices.claim(imei, at, open[len(open)-1].seq) {
			continue
		}
		for i := range open {
			if e := &open[i]; s.mayBegin(e) && e.Expires.After(s.now()) {
				r.Receive(e.Entry)
			}
		}
		if len(open) == page {
			s.devices.again(imei)
		}
	}
	return nil
}

// sweep ends what nobody carries out: commands that expired, and those that were sent and should have an end by now.
func (s *Store) sweep(ctx context.Context, r command.Receiver) error {
	for {
		ended, err := transact(ctx, s, func(tx *transaction) ([]row, error) { return s.endOverdue(tx) })
		if err != nil {
			return err
		}
		for i := range ended {
			r.Finished(ended[i].Entry)
		}
		if len(ended) < page {
			return nil
		}
	}
}

func (s *Store) endOverdue(tx *transaction) ([]row, error) {
	now := s.now()
	// What another run has sent and may be sent again waits for its device, until it expires.
	overdue, err := tx.rows(`seq IN (SELECT seq FROM commands WHERE state = 'queued' AND expires_at <= ?1 UNION ALL
		SELECT seq FROM commands WHERE state = 'sent' AND deadline <= ?2
			AND NOT (idempotent AND run <> ?3 AND expires_at > ?1)
		LIMIT ?4)`, now.UnixMilli(), now.Add(-s.grace).UnixMilli(), s.run, page)
	if err != nil {
		return nil, err
	}
	for i := range overdue {
		e := &overdue[i]
		switch {
		case e.State == command.Queued:
			s.end(e, e.Finished(command.Expired, s.devices.whyExpired(e.IMEI), now))
		case s.abandoned(e):
			s.end(e, e.Finished(command.Failed, command.ReasonDeliveryUnknown, now))
		default:
			s.end(e, e.Finished(command.TimedOut, command.ReasonNoAnswer, now))
		}
		if err := tx.update(e); err != nil {
			return nil, err
		}
	}
	return overdue, nil
}

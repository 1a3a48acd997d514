package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Begin implements command.Store.
func (s *Store) Begin(ctx context.Context, id string, p command.Timeouts) (command.Lease, error) {
	return transact(ctx, s, func(tx *transaction) (command.Lease, error) {
		r, err := tx.byID(id)
		now := s.now()
		switch expired := !r.Expires.After(now); {
		case err != nil:
			return command.Lease{}, err
		case r.State == command.Queued && expired:
			s.end(&r, r.Finished(command.Expired, s.devices.whyExpired(r.IMEI), now))
			return command.Lease{Ended: true, Entry: r.Entry}, tx.update(&r)
		case !s.mayBegin(&r) || expired:
			return command.Lease{Entry: r.Entry}, nil
		}
		deadline := now.Add(p.Send + r.Timeout)
		wait, err := s.holdLease(tx, &r.Entry, deadline.Add(p.Quarantine))
		if err != nil || wait > 0 {
			return command.Lease{Wait: wait, Entry: r.Entry}, err
		}
		r.begin(s, now, deadline)
		return command.Lease{Granted: true, Entry: r.Entry}, tx.update(&r)
	})
}

// mayBegin reports whether the command was not sent, or may be sent again because the process that did has died.
func (s *Store) mayBegin(r *row) bool {
	return r.State == command.Queued || s.abandoned(r) && r.Idempotent
}

// abandoned reports whether the command was sent by a process that has died.
func (s *Store) abandoned(r *row) bool { return r.State == command.Sent && r.run != s.run }

func (r *row) begin(s *Store, now, deadline time.Time) {
	if r.Attempts++; r.Attempts == 1 {
		r.SentAt = now.Truncate(time.Millisecond)
	}
	r.State, r.Deadline, r.Instance, r.run = command.Sent, deadline.Truncate(time.Millisecond), s.instance, s.run
}

// holdLease gives the device's lease to the command until then. If another one has it that keeps it, for so long at
// most.
func (s *Store) holdLease(tx *transaction, e *command.Entry, until time.Time) (wait time.Duration, err error) {
	now := s.now().UnixMilli()
	err = tx.QueryRow(`SELECT until - ? FROM turns WHERE imei = ? AND id <> ? AND until > ?`,
		now, e.IMEI, e.ID, now).Scan(&wait)
	if err == nil {
		return wait * time.Millisecond, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	return 0, tx.Do(`INSERT INTO turns (imei, id, since, until) VALUES (?, ?, ?, ?)
		ON CONFLICT (imei) DO UPDATE SET until = excluded.until, id = excluded.id,
			since = CASE id WHEN excluded.id THEN since ELSE excluded.since END`,
		e.IMEI, e.ID, now, until.UnixMilli())
}

// Withdraw implements command.Store. A command of several attempts stays Sent, as one that its process has left, and
// keeps the lease: an earlier attempt may have reached the device.
func (s *Store) Withdraw(ctx context.Context, id string) error {
	_, err := transact(ctx, s, func(tx *transaction) (struct{}, error) {
		r, err := tx.byID(id)
		if errors.Is(err, command.ErrUnknown) {
			return struct{}{}, nil
		}
		if err != nil || r.State != command.Sent || r.run != s.run {
			return struct{}{}, err
		}
		if err := tx.withdraw(&r); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, tx.update(&r)
	})
	return err
}

// withdraw takes back what this run has begun.
func (tx *transaction) withdraw(r *row) error {
	r.run = ""
	if r.Attempts--; r.Attempts > 0 {
		return nil
	}
	r.State, r.SentAt, r.Deadline, r.Instance = command.Queued, time.Time{}, time.Time{}, ""
	return tx.Do(`DELETE FROM turns WHERE imei = ? AND id = ?`, r.IMEI, r.ID)
}

// Settle implements command.Store. A message that was received before the command of the lease began does not answer
// it, though it may be asked about only now.
func (s *Store) Settle(
	ctx context.Context, m *command.Message, p command.Timeouts,
) (command.Match, command.Entry, error) {
	if !m.MayAnswer() {
		return command.MatchNone, command.Entry{}, nil
	}
	type settled struct {
		match command.Match
		entry command.Entry
	}
	own, token := *m, s.tokens.Of(m)
	if own.Received.IsZero() {
		own.Received = s.now()
	}
	done, err := transact(ctx, s, func(tx *transaction) (settled, error) {
		now := s.now()
		all, err := tx.rows(`id = (SELECT id FROM turns WHERE imei = ? AND since <= ? AND until > ?)`,
			own.IMEI, own.Received.UnixMilli(), now.UnixMilli())
		if err != nil || len(all) == 0 || !own.Answers(all[0].Codec) {
			return settled{match: command.MatchNone}, err
		}
		r := all[0]
		if r.heard == token {
			return settled{r.heardAs, r.Entry}, nil
		}
		r.heard, r.heardAs = token, command.MatchLate
		if r.State == command.Sent {
			r.heardAs = command.MatchAnswer
			s.end(&r, r.answered(&own))
		}
		err = s.count(tx, &r, now, p)
		return settled{r.heardAs, r.Entry}, errors.Join(err, tx.update(&r))
	})
	s.tokens.Note(m, token, err)
	if err != nil {
		return command.MatchNone, command.Entry{}, err
	}
	return done.match, done.entry, nil
}

// answered is the command's end by a message.
func (r *row) answered(m *command.Message) command.Entry {
	final, reason := command.Answered, ""
	if m.Type == teltonika.TypeNack {
		final, reason = command.Nacked, command.ReasonOtherDevice
	}
	e := r.Finished(final, reason, m.Received.Truncate(time.Millisecond))
	e.Response = append([]byte{}, m.Payload...)
	return e
}

// count counts the messages for a command. Each attempt may have one; the lease ends after the last. What comes then
// are repetitions, which do not change the lease.
func (s *Store) count(tx *transaction, r *row, now time.Time, p command.Timeouts) error {
	r.answers++
	until := now.Add(p.Gap)
	switch {
	case r.answers < r.Attempts:
		until = now.Add(p.Quarantine)
	case r.answers > r.Attempts:
		return nil
	}
	return tx.Do(`UPDATE turns SET until = ? WHERE imei = ? AND id = ?`, until.UnixMilli(), r.IMEI, r.ID)
}

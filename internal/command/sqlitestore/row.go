package sqlitestore

import (
	"database/sql"
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
)

// columns of a command, in the order of row.
const columns = `seq, id, imei, codec, payload, encoding, timeout_ms, created_at, expires_at, idempotent, confirm,
	state, attempts, sent_at, deadline, finished_at, response, response_encoding, reason, instance, run, answers,
	heard, heard_as,
	response_hex, only_if`

// row is a command as it is kept.
type row struct {
	seq     int64
	run     string
	answers int
	heard   string // the token of the last message's call
	heardAs command.Match
	command.Entry
}

// byID returns a command, or ErrUnknown.
func (tx *transaction) byID(id string) (row, error) {
	return scan(tx.QueryRow(`SELECT `+columns+` FROM commands WHERE id = ?`, id))
}

// rows returns the commands that a condition selects.
func (tx *transaction) rows(condition string, args ...any) (all []row, err error) {
	err = tx.each(func(r row) bool {
		all = append(all, r)
		return true
	}, condition, args...)
	return all, err
}

// each calls fn with the commands that a condition selects, until it has enough.
func (tx *transaction) each(fn func(row) bool, condition string, args ...any) (err error) {
	found, err := tx.Query(`SELECT `+columns+` FROM commands WHERE `+condition, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		if r, err := scan(found); err != nil || !fn(r) {
			return err
		}
	}
	return found.Err()
}

func scan(from interface{ Scan(into ...any) error }) (r row, err error) {
	var timeout, created, expires int64
	var sent, deadline, finished sql.NullInt64
	var payload, encoding, onlyIf string
	var response, responseEncoding, raw sql.NullString
	err = from.Scan(&r.seq, &r.ID, &r.IMEI, &r.Codec, &payload, &encoding, &timeout, &created, &expires,
		&r.Idempotent, &r.Confirm,
		&r.State, &r.Attempts, &sent, &deadline, &finished, &response, &responseEncoding, &r.Reason, &r.Instance, &r.run,
		&r.answers, &r.heard, &r.heardAs,
		&raw, &onlyIf)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return row{}, command.ErrUnknown
	case err != nil:
		return row{}, err
	}
	r.OnlyIf = condition.Read(onlyIf)
	r.Timeout = time.Duration(timeout) * time.Millisecond
	r.Created, r.Expires = time.UnixMilli(created), time.UnixMilli(expires)
	r.SentAt, r.Deadline, r.FinishedAt = fromMillis(sent), fromMillis(deadline), fromMillis(finished)
	if r.Payload, err = command.DecodePayload(payload, command.Encoding(encoding)); err != nil || !response.Valid {
		return r, err
	}
	r.Response, err = command.DecodeResponse(response.String, command.Encoding(responseEncoding.String), raw.String)
	return r, err
}

// insert keeps an entry, whose id is not known.
func (tx *transaction) insert(e *command.Entry) error {
	payload, encoding := command.EncodePayload(e.Payload)
	response, responseEncoding, raw := encodeResponse(e.Response)
	return tx.Do(`INSERT INTO commands (id, imei, codec, payload, encoding, timeout_ms, created_at, expires_at,
			idempotent, confirm, state, attempts, sent_at, deadline, finished_at, response, response_encoding, response_hex,
			reason, instance, only_if, run)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'')`,
		e.ID, e.IMEI, e.Codec, payload, encoding, e.Timeout.Milliseconds(), e.Created.UnixMilli(), e.Expires.UnixMilli(),
		e.Idempotent, e.Confirm, e.State, e.Attempts, toMillis(e.SentAt), toMillis(e.Deadline), toMillis(e.FinishedAt),
		response, responseEncoding, raw, e.Reason, e.Instance, e.OnlyIf.String())
}

// update keeps what has become of a command.
func (tx *transaction) update(r *row) error {
	response, encoding, raw := encodeResponse(r.Response)
	return tx.Do(`UPDATE commands SET state = ?, attempts = ?, sent_at = ?, deadline = ?, finished_at = ?, response = ?,
		response_encoding = ?, response_hex = ?, reason = ?, instance = ?, run = ?, answers = ?,
		heard = ?, heard_as = ? WHERE seq = ?`,
		r.State, r.Attempts, toMillis(r.SentAt), toMillis(r.Deadline), toMillis(r.FinishedAt), response,
		encoding, raw, r.Reason, r.Instance, r.run, r.answers, r.heard, r.heardAs, r.seq)
}

// encodeResponse returns NULLs for what is not there.
func encodeResponse(response []byte) (text, encoding, raw sql.NullString) {
	if response == nil {
		return text, encoding, raw
	}
	encoded, how, bytes := command.EncodeResponse(response)
	return sql.NullString{String: encoded, Valid: true}, sql.NullString{String: string(how), Valid: true},
		nullable(bytes)
}

// nullable returns NULL for nothing.
func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// toMillis returns NULL for the zero time.
func toMillis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

func fromMillis(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64)
}

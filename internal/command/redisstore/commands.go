package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Submit implements command.Store.
func (s *Store) Submit(ctx context.Context, c command.Command) (command.Entry, bool, error) {
	answer, err := s.eval(ctx, scriptSubmit, append(commandArgs(&c), s.opt.MaxOpen)...)
	if err != nil {
		return command.Entry{}, false, fmt.Errorf("submit: %w", err)
	}
	if refusal, ok := answer.(string); ok {
		return command.Entry{}, false, command.TooMany(command.Refusal(refusal))
	}
	created, e := numbered(answer)
	return e, created == 1, nil
}

// numbered reads an answer of a number and a command.
func numbered(answer any) (int64, command.Entry) {
	if all := list(answer); len(all) == 2 {
		return number(all[0]), fieldsOf(all[1]).entry()
	}
	return 0, command.Entry{}
}

// Lookup implements command.Store.
func (s *Store) Lookup(ctx context.Context, id string) (command.Entry, error) {
	f, err := s.client.HGetAll(ctx, commandKey(id)).Result()
	switch {
	case err != nil:
		return command.Entry{}, fmt.Errorf("look up: %w", err)
	case len(f) == 0:
		return command.Entry{}, command.ErrUnknown
	}
	return fields(f).entry(), nil
}

// Cancel implements command.Store.
func (s *Store) Cancel(ctx context.Context, id string) (command.Entry, error) {
	e, _, err := s.cancel(ctx, id, "", "")
	return e, err
}

// cancel takes the command back, and the entry that asks for it, if there is one, off its stream.
func (s *Store) cancel(ctx context.Context, id, stream, entry string) (e command.Entry, done bool, err error) {
	answer, err := s.eval(ctx, scriptCancel, id, stream, entry)
	switch {
	case err != nil:
		return command.Entry{}, false, fmt.Errorf("cancel: %w", err)
	case answer == nil:
		return command.Entry{}, false, command.ErrUnknown
	}
	n, e := numbered(answer)
	return e, n == 1, nil
}

// beginning names a call of Begin that may have to be repeated.
type beginning string

// Begin implements command.Store.
func (s *Store) Begin(ctx context.Context, id string, p command.Timeouts) (command.Lease, error) {
	token := s.tokens.Of(beginning(id))
	answer, err := s.eval(ctx, scriptBegin, id, token, p.Send.Milliseconds(), p.Quarantine.Milliseconds())
	s.tokens.Note(beginning(id), token, err)
	switch all := list(answer); {
	case err != nil:
		return command.Lease{}, fmt.Errorf("begin: %w", err)
	case len(all) < 3:
		return command.Lease{}, command.ErrUnknown
	default:
		wait, ended := time.Duration(number(all[1]))*time.Millisecond, len(all) == 4 && number(all[3]) == 1
		return command.Lease{Granted: number(all[0]) == 1, Wait: wait, Ended: ended, Entry: fieldsOf(all[2]).entry()}, nil
	}
}

// Withdraw implements command.Store.
func (s *Store) Withdraw(ctx context.Context, id string) error {
	if _, err := s.eval(ctx, scriptWithdraw, id); err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	s.tokens.Note(beginning(id), "", nil)
	return nil
}

// Return implements command.Store. First it makes known which devices have gone, so that the command is not brought
// back here.
func (s *Store) Return(ctx context.Context, id string) error {
	if err := s.writeSessions(ctx); err != nil {
		return fmt.Errorf("return: %w", err)
	}
	if _, err := s.eval(ctx, scriptReturn, id, s.tokens.Of(beginning(id))); err != nil {
		return fmt.Errorf("return: %w", err)
	}
	s.tokens.Note(beginning(id), "", nil)
	return nil
}

// Settle implements command.Store.
func (s *Store) Settle(
	ctx context.Context, m *command.Message, p command.Timeouts,
) (command.Match, command.Entry, error) {
	if !m.MayAnswer() {
		return command.MatchNone, command.Entry{}, nil
	}
	state, reason := command.Answered, ""
	if m.Type == teltonika.TypeNack {
		state, reason = command.Nacked, command.ReasonOtherDevice
	}
	text, encoding, raw := command.EncodeResponse(m.Payload)
	token := s.tokens.Of(m)
	answer, err := s.eval(ctx, scriptSettle, token, m.IMEI, string(state), flag(m.Codec == teltonika.Codec14),
		text, string(encoding), raw, reason, p.Gap.Milliseconds(), p.Quarantine.Milliseconds(), age(m).Milliseconds())
	s.tokens.Note(m, token, err)
	if err != nil {
		return "", command.Entry{}, fmt.Errorf("settle: %w", err)
	}
	all := list(answer)
	if len(all) != 2 || all[0] == string(command.MatchNone) {
		return command.MatchNone, command.Entry{}, nil
	}
	match, _ := all[0].(string)
	return command.Match(match), fieldsOf(all[1]).entry(), nil
}

// age is how long ago the message came, by this process' clock only.
func age(m *command.Message) time.Duration {
	if m.Received.IsZero() {
		return 0
	}
	return max(0, time.Since(m.Received))
}

// Finish implements command.Store.
func (s *Store) Finish(ctx context.Context, e command.Entry, p command.Timeouts) (command.Entry, error) {
	response, encoding, raw := command.EncodeResponse(e.Response)
	args := []any{
		string(e.State), e.Reason, response, string(encoding), raw, p.Quarantine.Milliseconds(),
		e.Attempts, milliseconds(e.SentAt), milliseconds(e.Deadline),
	}
	answer, err := s.eval(ctx, scriptFinish, append(args, commandArgs(&e.Command)...)...)
	if err != nil {
		return command.Entry{}, fmt.Errorf("finish: %w", err)
	}
	s.tokens.Note(beginning(e.ID), "", nil)
	return fieldsOf(answer).entry(), nil
}

// maxEvents is about how many events are kept.
const maxEvents = 10_000

// timeLayout is ISO 8601 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Publish implements command.Store.
func (s *Store) Publish(ctx context.Context, e *command.Event) error {
	payload, encoding, raw := command.EncodeResponse(e.Payload[:min(len(e.Payload), command.MaxEventPayload)])
	sent := ""
	if e.Sent != 0 {
		sent = time.Unix(int64(e.Sent), 0).UTC().Format(timeLayout)
	}
	values := []any{
		"ts", e.Received.UTC().Format(timeLayout), "device_id", e.IMEI, "codec", e.Codec.String(),
		"type", strconv.Itoa(int(e.Type)),
		"timestamp", sent, "payload", payload, "encoding", string(encoding), "kind", string(e.Kind),
		"id", e.Command, "named", e.Named,
		"size", strconv.Itoa(len(e.Payload)),
	}
	if raw != "" {
		values = append(values, "payload_hex", raw)
	}
	add := &redis.XAddArgs{Stream: s.opt.Events, MaxLen: maxEvents, Approx: true, Values: values}
	if err := s.client.XAdd(ctx, add).Err(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// flag is how the scripts read a yes or no.
func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

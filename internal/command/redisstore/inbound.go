package redisstore

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// inbound is an entry of a stream of commands, whoever has written it.
type inbound struct {
	command.Command
	cancel bool   // it takes a command back instead
	older  string // it says instead that the device has a newer session elsewhere than that of this token
	err    error  // what is wrong with it, each a [command.FieldError]
}

// parseInbound reads an entry and fills in what its sender left out. What the entry does not say of its own age its id
// does.
func parseInbound(m redis.XMessage) inbound {
	p := parser{values: m.Values}
	codec, onlyIf := p.codec()
	c := command.Command{
		ID: p.text("id"), IMEI: p.text("imei"), Codec: codec, OnlyIf: onlyIf,
		Payload: p.payload(), Timeout: p.timeout(), Created: entryTime(m.ID), Expires: p.time("expires_at"),
		Idempotent: p.flag("idempotent"), Confirm: p.flag("confirm"),
	}
	if c.ID == "" {
		c.ID = m.ID
	}
	in := inbound{Command: c, cancel: p.flag("cancel"), older: p.text("taken_over")}
	in.Complete(in.Created)
	if err := in.Validate(); err != nil {
		p.add(err)
	}
	if in.cancel {
		p.only("id")
		if p.text("id") == "" {
			p.fail("id", "must say which command is taken back")
		}
	}
	in.err = errors.Join(p.wrong...)
	return in
}

// named reports whether a result can be remembered by the entry's id.
func (in *inbound) named() bool { return !mentions(in.err, "id") }

// reason is what is wrong, in one line.
func (in *inbound) reason() string {
	return "malformed: " + strings.ReplaceAll(in.err.Error(), "\n", "; ")
}

// entryTime is when an entry was added, by its id.
func entryTime(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, _ := strconv.ParseInt(ms, 10, 64)
	return time.UnixMilli(n).UTC()
}

// parser reads fields and gathers what is wrong with them.
type parser struct {
	values map[string]any
	wrong  []error
}

func (p *parser) text(field string) string {
	s, _ := p.values[field].(string)
	return s
}

func (p *parser) fail(field, problem string) {
	p.wrong = append(p.wrong, &command.FieldError{Field: field, Problem: problem})
}

// add adds errors of fields that nothing was wrong with so far.
func (p *parser) add(err error) {
	for _, one := range unjoin(err) {
		if f, ok := errors.AsType[*command.FieldError](one); !ok || !mentions(errors.Join(p.wrong...), f.Field) {
			p.wrong = append(p.wrong, one)
		}
	}
}

// only forgets what is wrong with other fields.
func (p *parser) only(field string) {
	p.wrong = slices.DeleteFunc(p.wrong, func(err error) bool { return !mentions(err, field) })
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// mentions reports whether the error is of the field, among others.
func mentions(err error, field string) bool {
	if err == nil {
		return false
	}
	return slices.ContainsFunc(unjoin(err), func(one error) bool {
		f, ok := errors.AsType[*command.FieldError](one)
		return ok && f.Field == field
	})
}

// codec reads the codec, and the condition that may stand behind it.
func (p *parser) codec() (teltonika.Codec, *condition.Condition) {
	codec, text, conditional := strings.Cut(p.text("codec"), ifWord)
	var onlyIf *condition.Condition
	if conditional {
		var err error
		if onlyIf, err = condition.Parse(text); err != nil {
			p.fail("codec", "has a condition that cannot be read: it "+err.Error())
		}
	}
	switch codec {
	case "14":
		return teltonika.Codec14, onlyIf
	case "", "12":
	default:
		p.fail("codec", "must be 12 or 14")
	}
	return teltonika.Codec12, onlyIf
}

func (p *parser) payload() []byte {
	b, err := command.DecodePayload(p.text("payload"), command.Encoding(p.text("encoding")))
	if err != nil {
		p.wrong = append(p.wrong, err)
		if mentions(err, "encoding") {
			return []byte(p.text("payload")) // whether that is wrong too cannot be known
		}
	}
	return b
}

// mostMilliseconds is more than anything may last, and small enough to be counted in nanoseconds.
const mostMilliseconds = int64(command.MaxExpiry / time.Millisecond)

func (p *parser) timeout() time.Duration {
	s := p.text("timeout_ms")
	if s == "" {
		return 0
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms <= 0 || ms > mostMilliseconds {
		p.fail("timeout_ms", "must be a number of milliseconds, 100 to 600000")
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// time reads ms since 1970 or RFC 3339.
func (p *parser) time(field string) time.Time {
	s := p.text(field)
	if s == "" {
		return time.Time{}
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms > 0 && ms < 1<<53 {
		return time.UnixMilli(ms).UTC()
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UnixMilli() <= 0 {
		p.fail(field, "must be milliseconds since 1970 or a time as in RFC 3339")
		return time.Time{}
	}
	return t
}

func (p *parser) flag(field string) bool {
	switch strings.ToLower(p.text(field)) {
	case "true", "1", "yes":
		return true
	case "", "false", "0", "no":
	default:
		p.fail(field, "must be true or false")
	}
	return false
}

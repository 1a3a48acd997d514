package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// MaxWait is how long a request may wait for a result; waitBeyond is how much longer than the answer may take it waits
// if it does not say.
const (
	MaxWait    = time.Minute
	waitBeyond = 5 * time.Second
)

// NewID returns the id of a command whose sender gives none.
func NewID() string { return rand.Text() }

// Request is the body of a command's POST. What is nil is left out.
type Request struct {
	ID          *string `json:"id,omitempty"`
	Command     *string `json:"command,omitempty"`
	Hex         *string `json:"hex,omitempty"`
	Name        *string `json:"name,omitempty"`
	Args        Args    `json:"args,omitempty"`
	Family      *string `json:"family,omitempty"` // or model
	DryRun      bool    `json:"dry_run,omitempty"`
	Codec       *int    `json:"codec,omitempty"`
	TimeoutMS   *int64  `json:"timeout_ms,omitempty"`
	ExpiresAt   *string `json:"expires_at,omitempty"`
	ExpiresInMS *int64  `json:"expires_in_ms,omitempty"`
	Idempotent  bool    `json:"idempotent,omitempty"`
	Confirm     bool    `json:"confirm,omitempty"`
	OnlyIf      *string `json:"only_if,omitempty"`
	WaitMS      *int64  `json:"wait_ms,omitempty"`
}

// readRequest decodes field by field, so that every wrong one is named.
func readRequest(body []byte) (r *Request, wrong map[string]string, err error) {
	if !utf8.Valid(body) {
		return nil, nil, problem(http.StatusBadRequest, "the body is not UTF-8")
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return nil, nil, problem(http.StatusBadRequest, "the body is not a JSON object: %v", err)
	}
	r, wrong = &Request{}, make(map[string]string)
	for _, f := range []struct {
		name string
		into any
		what string
	}{
		{"id", &r.ID, "a string"},
		{"command", &r.Command, "a string"},
		{"hex", &r.Hex, "a string"},
		{"name", &r.Name, "a string"},
		{"args", &r.Args, "an object of strings and numbers"},
		{"family", &r.Family, "a string"},
		{"dry_run", &r.DryRun, "true or false"},
		{"codec", &r.Codec, "12 or 14"},
		{"timeout_ms", &r.TimeoutMS, "a whole number"},
		{"expires_at", &r.ExpiresAt, "a string"},
		{"expires_in_ms", &r.ExpiresInMS, "a whole number"},
		{"idempotent", &r.Idempotent, "true or false"},
		{"confirm", &r.Confirm, "true or false"},
		{"only_if", &r.OnlyIf, "a string"},
		{"wait_ms", &r.WaitMS, "a whole number"},
	} {
		if raw, ok := given[f.name]; ok && json.Unmarshal(raw, f.into) != nil {
			wrong[f.name] = "must be " + f.what
		}
		delete(given, f.name)
	}
	for name := range given {
		wrong[name] = "is unknown"
	}
	return r, wrong, nil
}

// parsed is what a body asks for.
type parsed struct {
	command.Command
	wait   time.Duration // for the result
	named  *Named        // nil if it has no name
	dryRun bool
}

// parse reads a body. Its error is a Problem that names all that is wrong.
func (s *Server) parse(ctx context.Context, body []byte, imei string, now time.Time) (p parsed, err error) {
	r, wrong, err := readRequest(body)
	if err != nil {
		return p, err
	}
	p.named, p.dryRun = s.resolve(ctx, r, imei, wrong), r.DryRun
	p.Command = command.Command{ID: NewID(), IMEI: imei, Created: now, Idempotent: r.Idempotent, Confirm: r.Confirm}
	c := &p.Command
	if r.ID != nil {
		c.ID = *r.ID
	}
	c.Payload = r.payload(p.named, wrong)
	c.OnlyIf = r.onlyIf(wrong)
	c.Timeout = millis(r.TimeoutMS, "timeout_ms", command.MinTimeout, command.MaxTimeout, wrong)
	c.Expires = r.expires(now, wrong)
	if r.Codec != nil {
		c.Codec = teltonika.Codec(*r.Codec)
		if *r.Codec != int(teltonika.Codec12) && *r.Codec != int(teltonika.Codec14) {
			wrong["codec"] = "must be 12 or 14"
		}
	}
	c.Complete(now)
	r.addInvalid(wrong, c.Validate())
	p.wait = min(c.Timeout+waitBeyond, MaxWait)
	if r.WaitMS != nil {
		p.wait = millis(r.WaitMS, "wait_ms", 0, MaxWait, wrong)
	}
	return p, wrongFields(wrong)
}

func (r *Request) payload(n *Named, wrong map[string]string) []byte {
	given := 0
	for _, is := range []bool{r.Command != nil, r.Hex != nil, r.Name != nil} {
		if is {
			given++
		}
	}
	switch {
	case wrong["command"] != "" || wrong["hex"] != "" || wrong["name"] != "":
		return nil
	case given != 1:
		wrong["command"] = "must be given, or hex or a name, and only one of them"
		return nil
	case r.Name != nil && n != nil:
		return []byte(n.Command)
	case r.Name != nil:
		return nil // what is wrong is said
	case r.Command != nil:
		b := []byte(*r.Command)
		if !command.IsLine(b) {
			wrong["command"] = "must be one line of printable ASCII; give other bytes as hex"
		} else if len(b) == 0 {
			wrong["command"] = "is empty"
		}
		return b
	}
	b, err := command.DecodePayload(*r.Hex, command.Hex)
	var invalid *command.FieldError
	if errors.As(err, &invalid) {
		wrong["hex"] = invalid.Problem
	} else if len(b) == 0 {
		wrong["hex"] = "is empty"
	}
	return b
}

// onlyIf is nil if the request says nothing of it.
func (r *Request) onlyIf(wrong map[string]string) *condition.Condition {
	if r.OnlyIf == nil {
		return nil
	}
	c, err := condition.Parse(*r.OnlyIf)
	if err != nil {
		wrong["only_if"] = err.Error()
	}
	return c
}

// expires is zero if the request does not say.
func (r *Request) expires(now time.Time, wrong map[string]string) time.Time {
	switch {
	case r.ExpiresAt != nil && r.ExpiresInMS != nil:
		wrong["expires_at"] = "must not be given beside expires_in_ms"
	case r.ExpiresInMS != nil:
		return now.Add(millis(r.ExpiresInMS, "expires_in_ms", time.Millisecond, command.MaxExpiry, wrong))
	case r.ExpiresAt != nil:
		// What has passed is no mistake: it may be the repetition of a command that was in time.
		t, err := time.Parse(time.RFC3339, *r.ExpiresAt)
		if err != nil || t.Unix() <= 0 {
			wrong["expires_at"] = "must be a time after 1970 as in RFC 3339, such as 2026-11-22T11:00:00Z"
		}
		return t
	}
	return time.Time{}
}

// millis is zero if n is nil or wrong.
func millis(n *int64, name string, low, high time.Duration, wrong map[string]string) time.Duration {
	switch {
	case n == nil:
		return 0
	case *n < low.Milliseconds() || *n > high.Milliseconds():
		wrong[name] = fmt.Sprintf("is %d, must be %d to %d", *n, low.Milliseconds(), high.Milliseconds())
		return 0
	}
	return time.Duration(*n) * time.Millisecond
}

// addInvalid adds what Validate found, under the names of the API, unless more is known of that field.
func (r *Request) addInvalid(wrong map[string]string, err error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		var invalid *command.FieldError
		if !errors.As(err, &invalid) {
			continue
		}
		name := invalid.Field
		if name == "payload" {
			if wrong["command"] != "" || wrong["hex"] != "" || wrong["args"] != "" || wrong["family"] != "" {
				continue
			}
			switch name = "command"; {
			case r.Hex != nil:
				name = "hex"
			case r.Name != nil:
				name = "name"
			}
		}
		if wrong[name] == "" {
			wrong[name] = invalid.Problem
		}
	}
}

package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
)

// Problem is an answer other than success. It is the body of the answer, and what the client returns as an error.
type Problem struct {
	Status int               `json:"-"` // of HTTP
	Text   string            `json:"error"`
	Fields map[string]string `json:"fields,omitempty"` // what is wrong, by field or parameter
	Reason command.Refusal   `json:"reason,omitempty"`
	ID     string            `json:"id,omitempty"`    // of a command that may have been accepted
	Entry  *Entry            `json:"entry,omitempty"` // as it is instead

	Verdict *verdict.Verdict `json:"verdict,omitempty"` // on a device that was never seen

	retryAfter time.Duration
}

func (p *Problem) Error() string { return p.Text }

func problem(status int, format string, args ...any) *Problem {
	return &Problem{Status: status, Text: fmt.Sprintf(format, args...)}
}

// wrongFields is nil if no field is wrong.
func wrongFields(wrong map[string]string) error {
	if len(wrong) == 0 {
		return nil
	}
	p := problem(http.StatusBadRequest, "invalid fields: %s", strings.Join(slices.Sorted(maps.Keys(wrong)), ", "))
	p.Fields = wrong
	return p
}

// When it makes sense to try again.
const (
	retrySoon  = time.Second      // of what may be over at once
	retryQueue = 10 * time.Second // a queue moves on by one with each answer
)

// refusals are the answers to commands that are not taken.
var refusals = map[command.Refusal]struct {
	status     int
	retryAfter time.Duration
}{
	command.RefusedDenied:  {http.StatusForbidden, 0},
	command.RefusedConfirm: {http.StatusPreconditionRequired, 0},
	command.RefusedQueue:   {http.StatusTooManyRequests, retryQueue},
	command.RefusedStore:   {http.StatusTooManyRequests, retryQueue},
	command.RefusedUDP:     {http.StatusConflict, 0},
}

func refused(e *command.RefusedError) *Problem {
	r := refusals[e.Reason]
	return &Problem{Status: r.status, Text: e.Text, Reason: e.Reason, retryAfter: r.retryAfter}
}

// again is what may be tried again.
func again(what string) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Text: what, retryAfter: retrySoon}
}

// handler answers a request, or returns what is wrong with it, if nothing is written yet.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		writeProblem(w, err)
	}
}

func writeProblem(w http.ResponseWriter, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		p = problem(http.StatusInternalServerError, "%v", err)
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retryAfter.Seconds())))
	}
	writeJSON(w, p.Status, p)
}

func setJSON(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	setJSON(w.Header())
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(body)
}

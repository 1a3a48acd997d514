package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/dictionary"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// submit takes a command, and waits for its result as long as asked.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	c, err := s.parse(r.Context(), body, r.PathValue("imei"), time.Now().UTC().Truncate(time.Millisecond))
	if err != nil {
		return err
	}
	if err := s.knowsFields(c.OnlyIf); err != nil {
		return err
	}
	if c.dryRun {
		writeJSON(w, http.StatusOK, c.named)
		return nil
	}
	if err := needsConfirmation(c.named, &c.Command); err != nil {
		return err
	}
	done, err := s.mayWait(c.wait)
	if err != nil {
		return err
	}
	defer done()
	e, err := s.accept(r, c.Command)
	if err != nil {
		return err
	}
	e = s.await(r.Context(), e, c.wait)
	if e.State.Final() {
		writeJSON(w, http.StatusOK, entryOf(&e))
		return nil
	}
	w.Header().Set("Location", commandPath(e.IMEI, e.ID))
	writeJSON(w, http.StatusAccepted, entryOf(&e))
	return nil
}

// knowsFields says which field of a condition no record can have: it would never be met.
func (s *Server) knowsFields(c *condition.Condition) error {
	if c == nil {
		return nil
	}
	d := meaning.Embedded()
	if s.Dictionary != nil {
		d = s.Dictionary()
	}
	if err := c.Validate(dictionary.Units(d)); err != nil {
		return wrongFields(map[string]string{"only_if": err.Error()})
	}
	return nil
}

// readBody returns the whole body. From then on the connection is read without a deadline, to notice its end.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, problem(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, problem(http.StatusBadRequest, "the body cannot be read: %v", err)
	}
	return body, http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// accept submits the command. If its id is known it must be the same one.
func (s *Server) accept(r *http.Request, c command.Command) (command.Entry, error) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	e, _, err := s.Commands.Submit(ctx, c, "http "+r.RemoteAddr)
	var refusal *command.RefusedError
	switch {
	case errors.As(err, &refusal):
		return e, refused(refusal)
	case err != nil:
		p := s.storeFailed("submit", err)
		p.ID = c.ID
		return e, p
	case e.IMEI != c.IMEI || !bytes.Equal(e.Payload, c.Payload) || e.OnlyIf.String() != c.OnlyIf.String():
		return e, problem(http.StatusConflict, "the id is another command's: give each command an id of its own, or none")
	}
	return e, nil
}

func (s *Server) storeFailed(call string, err error) *Problem {
	s.Logger.Error("command store failed", "call", call, "error", err)
	return again("the store of commands does not answer")
}

// mayWait takes one of the places for requests that wait, if one is needed. It is taken before the command is, so that
// no command is accepted whose sender is then told to try again.
func (s *Server) mayWait(wait time.Duration) (done func(), err error) {
	if wait == 0 {
		return func() {}, nil
	}
	select {
	case s.waiting <- struct{}{}:
		return func() { <-s.waiting }, nil
	default:
		return nil, again("too many requests wait for results: try again, or with wait_ms 0")
	}
}

// await returns the entry when it is final, or as it is known after the wait, and at Close.
func (s *Server) await(ctx context.Context, e command.Entry, wait time.Duration) command.Entry {
	if e.State.Final() || wait == 0 {
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	now, err := s.Commands.Await(ctx, e)
	if err != nil && ctx.Err() == nil {
		s.storeFailed("await", err)
	}
	return now
}

// follow returns a command, when it is final or after the wait.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) error {
	wait, err := waitParameter(r)
	if err != nil {
		return err
	}
	done, err := s.mayWait(wait)
	if err != nil {
		return err
	}
	defer done()
	e, err := s.find(r)
	if err != nil {
		return err
	}
	e = s.await(r.Context(), e, wait)
	writeJSON(w, http.StatusOK, entryOf(&e))
	return nil
}

// cancel takes a command back.
func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	e, err := s.find(r)
	if err != nil {
		return err
	}
	if e, err = s.takeBack(r.Context(), e); err != nil {
		return err
	}
	if e.State != command.Cancelled {
		p := problem(http.StatusConflict, "the command is not queued any more, it is %s", e.State)
		p.Entry = entryOf(&e)
		return p
	}
	writeJSON(w, http.StatusOK, entryOf(&e))
	return nil
}

// takeBack cancels what has no final state yet.
func (s *Server) takeBack(ctx context.Context, e command.Entry) (command.Entry, error) {
	if e.State.Final() {
		return e, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	e, err := s.Commands.Cancel(ctx, e.ID)
	if err != nil {
		return e, s.lookupFailed("cancel", err)
	}
	return e, nil
}

// find returns the command that the path names, if it is one of the path's device, where it names one.
func (s *Server) find(r *http.Request) (command.Entry, error) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	e, err := s.Commands.Lookup(ctx, r.PathValue("id"))
	if imei := r.PathValue("imei"); err == nil && imei != "" && e.IMEI != imei {
		err = command.ErrUnknown
	}
	if err != nil {
		return e, s.lookupFailed("lookup", err)
	}
	return e, nil
}

func (s *Server) lookupFailed(call string, err error) *Problem {
	if errors.Is(err, command.ErrUnknown) {
		return problem(http.StatusNotFound, "%v", command.ErrUnknown)
	}
	return s.storeFailed(call, err)
}

// waitParameter reads ?wait_ms=.
func waitParameter(r *http.Request) (time.Duration, error) {
	q, err := query(r, "wait_ms")
	if err != nil || !q.Has("wait_ms") {
		return 0, err
	}
	wrong := make(map[string]string)
	return millisParameter(q, "wait_ms", 0, MaxWait, wrong), wrongFields(wrong)
}

// millisParameter reads a parameter that is given.
func millisParameter(q url.Values, name string, low, high time.Duration, wrong map[string]string) time.Duration {
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil {
		wrong[name] = "must be a whole number"
		return 0
	}
	return millis(&n, name, low, high, wrong)
}

// limitParameter reads ?limit=.
func limitParameter(q url.Values, usual, most int) (int, error) {
	if !q.Has("limit") {
		return usual, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 || n > most {
		return 0, wrongFields(map[string]string{"limit": fmt.Sprintf("must be 1 to %d", most)})
	}
	return n, nil
}

// query returns the parameters, which must be among those known: one that is misspelt must not be taken for one that
// is in force.
func query(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "the parameters are not well formed: %v", err)
	}
	wrong := make(map[string]string)
	for name, values := range q {
		switch {
		case !slices.Contains(known, name):
			wrong[name] = "is unknown"
		case len(values) > 1:
			wrong[name] = "must be given once"
		}
	}
	return q, wrongFields(wrong)
}

// commandPath is where the entry of a command is, also without its device.
func commandPath(imei, id string) string { return commandsPath(imei) + "/" + segment(id) }

// commandsPath is where the commands of a device are, or of all.
func commandsPath(imei string) string {
	if imei == "" {
		return "/v1/commands"
	}
	return devicePath(imei) + "/commands"
}

func devicePath(imei string) string { return "/v1/devices/" + segment(imei) }

// segment is one part of a path. Dots alone would be taken for a way up.
func segment(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

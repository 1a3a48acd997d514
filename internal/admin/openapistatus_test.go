package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin/page"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/named"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadletter"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/overview"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
)

// seen are the answers that servers have given, as "GET /v1/devices 200".
type seen map[string]bool

// TestDocumentedStatusesAreGiven: each status of each operation is one that a server gives.
func TestDocumentedStatusesAreGiven(t *testing.T) {
	given := seen{}
	given.good(t)
	given.wrong(t)
	given.denied(t)
	given.failing(t)
	for _, o := range apitest.Strict().Operations() {
		for _, status := range o.Statuses() {
			if what := fmt.Sprintf("%s %s %d", o.Method, o.Path, status); !given[what] {
				t.Errorf("%s: the document says so, and no server has answered it", what)
			}
		}
	}
}

// tried asks for an operation: its method and path as in the document, with the device that is present, the command x
// and the dead letter 1 unless others are named. Whether the answer is as the document says, ask finds out.
func (s seen) tried(r *running, operation, more, body string, header ...string) answer {
	r.t.Helper()
	method, template, _ := strings.Cut(operation, " ")
	path := strings.NewReplacer("{imei}", present, "{id}", "x", "{ref}", "1", "{file}", "style.css").Replace(template)
	if strings.HasPrefix(more, "/") {
		path, more = more, ""
	}
	a := r.ask(method, path+more, body, header...)
	s[fmt.Sprintf("%s %d", operation, a.StatusCode)] = true
	return a
}

// each calls fn with every operation of the API, but not with the tap, whose answer has no end, if it is to succeed.
func each(fn func(operation, body string)) {
	for _, o := range apitest.Strict().Operations() {
		body := ""
		if o.Method == "POST" {
			body = "{}"
		}
		fn(o.Method+" "+o.Path, body)
	}
}

const (
	commandsOperation = "/v1/devices/{imei}/commands"
	commandOperation  = commandsOperation + "/{id}"
	letterOperation   = "/v1/deadletters/{ref}"
)

// good are the answers of a server with which all is well.
func (s seen) good(t *testing.T) {
	letters, _ := desk(t, buried(t, present, true), buried(t, present, false))
	r := start(t, Options{DeadLetters: letters, Records: shelf{published("")}, Tap: tap.NewHub(nil)})
	s.tried(r, "POST "+commandsOperation, "", `{"command":"getver","id":"x"}`)
	s.tried(r, "POST "+commandsOperation, commandsOf(absent), `{"command":"getver","id":"y","wait_ms":0}`)
	s.tried(r, "DELETE "+commandOperation, commandsOf(absent)+"/y", "")
	s.tried(r, "POST "+commandsOperation, commandsOf(absent), `{"command":"getver","id":"z","wait_ms":0}`)
	s.tried(r, "DELETE /v1/commands/{id}", "/v1/commands/z", "")
	s.tried(r, "DELETE "+commandOperation, "", "")
	s.tried(r, "DELETE /v1/commands/{id}", "", "")
	s.tried(r, "POST "+letterOperation+"/replay", "/v1/deadletters/2/replay", "{}")
	s.tried(r, "POST "+letterOperation+"/replay", "", "{}")
	s.tried(r, "GET "+letterOperation, "/v1/deadletters/2", "")
	s.tried(r, "DELETE "+letterOperation, "/v1/deadletters/2", "")
	s.tried(r, "POST /v1/shed", "", `{"percent":20}`)
	s.tried(r, "GET /v1/tap", "?for_ms=1", "")
	each(func(operation, body string) {
		if strings.HasPrefix(operation, "GET ") && operation != "GET /v1/tap" {
			a := s.tried(r, operation, "", body)
			if tag := a.Header.Get("ETag"); tag != "" {
				s.tried(r, operation, "", "", "If-None-Match", tag)
			}
		}
	})
	s.tried(r, "GET "+page.Prefix+"{file}", page.Prefix+"nothing", "")
}

// wrong are the answers to requests that cannot be met.
func (s seen) wrong(t *testing.T) {
	letters, _ := desk(t, buried(t, present, true))
	r := start(t, Options{DeadLetters: letters, Records: shelf{published("")}, Tap: tap.NewHub(nil)})
	each(func(operation, body string) {
		if strings.Contains(operation, "/v1/") {
			s.tried(r, operation, "?nonsense=1", body)
		}
		if body != "" {
			s.tried(r, operation, "", body, "Content-Type", "text/plain")
		}
	})
	for _, operation := range []string{"GET", "DELETE"} {
		s.tried(r, operation+" "+commandOperation, "", "")
		s.tried(r, operation+" /v1/commands/{id}", "", "")
		s.tried(r, operation+" "+letterOperation, "/v1/deadletters/9", "")
	}
	s.tried(r, "POST "+letterOperation+"/replay", "/v1/deadletters/9/replay", "{}")
	s.tried(r, "GET /v1/devices/{imei}", "/v1/devices/"+absent, "")
	s.tried(r, "GET /v1/deadletters", "?after=99", "")
	post := "POST " + commandsOperation
	s.tried(r, post, "", `{"command":"getver","id":"x"}`)
	s.tried(r, post, "", `{"command":"getinfo","id":"x"}`)
	s.tried(r, post, "", `{"command":"defaultcfg"}`)
	s.tried(r, post, "", `{"command":"`+strings.Repeat(" ", maxBody)+`"}`)
	s.tried(r, "POST /v1/shed", "", `{"percent":20}`)
	s.tried(r, "POST /v1/shed", "", `{"percent":20}`) // while the other one goes on
	s.tried(r, "POST /v1/shed", "", `{"x":"`+strings.Repeat(" ", maxBody)+`"}`)
	r = start(t, Options{})
	each(func(operation, body string) { // an engine that shows nothing; a tap is not among what it shows
		if operation != "GET /v1/tap" {
			s.tried(r, operation, "", body)
		}
	})
}

// denied are the answers to those who may not ask.
func (s seen) denied(t *testing.T) {
	r := start(t, Options{Token: token})
	each(func(operation, body string) {
		s.tried(r, operation, "", body, "Authorization", "Bearer "+token, fetchSite, "cross-site")
	})
	each(func(operation, body string) { s.tried(r, operation, "", body) })
	for range 40 {
		each(func(operation, body string) { s.tried(r, operation, "", body) })
	}
	r = start(t, Options{})
	each(func(operation, body string) { s.tried(r, operation, "", body, "Host", "evil.example") })
}

// failing are the answers of a server whose stores fail, that has too much to do, or that has a bug.
func (s seen) failing(t *testing.T) {
	away := errors.New("no route")
	hub := tap.NewHub(nil)
	r := start(t, Options{DeadLetters: lettersBug{}, Records: shelf(nil), Devices: fleet{away: away}, Tap: hub})
	r.memory.fail = away
	for range tap.MaxTaps {
		if _, err := hub.Open(tap.Filter{}); err != nil {
			t.Fatal(err)
		}
	}
	for range maxListings {
		r.listing <- struct{}{}
	}
	body := `{"command":"getver","id":"x"}`
	each(func(operation, _ string) { s.tried(r, operation, "", map[bool]string{true: body}[operation[0] == 'P']) })

	r = start(t, Options{DeadLetters: lettersBug{}, Records: bug{}, Devices: bug{}, Strangers: bug{}, Overview: bug{},
		Names: bug{}.Names, Shedding: sheddingBug{}})
	s.tried(r, "POST /v1/shed", "", `{"percent":1}`)
	r.memory.broken = true
	each(func(operation, _ string) { s.tried(r, operation, "", map[bool]string{true: body}[operation[0] == 'P']) })
}

// bug is what a server rests on that panics.
type bug struct{}

type sheddingBug struct{}

func (sheddingBug) Begin(shed.Part, shed.Cause, string) (shed.Status, error) { panic("a bug") }
func (sheddingBug) Status() shed.Status                                      { panic("a bug") }

func (bug) Find(context.Context, string) (device.Presence, bool, error) { panic("a bug") }
func (bug) List(context.Context, device.Query) ([]device.Presence, string, error) {
	panic("a bug")
}
func (bug) Strangers(context.Context) ([]stranger.Stranger, error)           { panic("a bug") }
func (bug) Names() *named.Table                                              { panic("a bug") }
func (bug) Status() *overview.Status                                         { panic("a bug") }
func (bug) LastRecords(context.Context, string, int) ([][]byte, bool, error) { panic("a bug") }

// lettersBug is the same of dead letters, whose methods have other shapes.
type lettersBug struct{}

func (lettersBug) Each(context.Context, deadletter.Selection, func(deadletter.Letter) error) error {
	panic("a bug")
}
func (lettersBug) Find(context.Context, string) (deadletter.Letter, error)   { panic("a bug") }
func (lettersBug) Replay(context.Context, string) (publish.Outcome, error)   { panic("a bug") }
func (lettersBug) Remove(context.Context, string) (deadletter.Letter, error) { panic("a bug") }

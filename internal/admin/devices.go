package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
)

// Devices are what is known of devices, at all instances; a [device.Memory] is one. An error says that the answer is of
// what is known to this instance only.
type Devices interface {
	Find(ctx context.Context, imei string) (p device.Presence, known bool, err error)
	List(ctx context.Context, q device.Query) (page []device.Presence, next string, err error)
}

// maxPage is how many devices a page may have, inMemory how many are in memory at once of a list without pages.
const (
	maxPage  = 1000
	inMemory = 10_000
)

// readListQuery reads the parameters of a list of devices. paged says that a limit was asked for.
func readListQuery(q url.Values) (list device.Query, paged bool, err error) {
	list = device.Query{State: device.StateConnected, After: q.Get("cursor")}
	if q.Has("state") {
		list.State = device.State(q.Get("state"))
	}
	switch list.State {
	case device.StateAll, device.StateConnected, device.StateGone:
	default:
		return list, false, wrongFields(map[string]string{"state": "must be connected, gone or all"})
	}
	list.Limit, err = limitParameter(q, inMemory, maxPage)
	return list, q.Has("limit"), err
}

// listDevices writes the devices one by one, so that a fleet's list is never in memory as a text.
func (s *Server) listDevices(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "imei", "state", "cursor", "limit", "verdict")
	if err != nil {
		return err
	}
	list, paged, err := readListQuery(q)
	if err != nil {
		return err
	}
	wrong := make(map[string]string)
	judged := isTrue(q, "verdict", wrong)
	if len(wrong) > 0 {
		return wrongFields(wrong)
	}
	done, err := s.mayList()
	if err != nil {
		return err
	}
	defer done()
	setJSON(w.Header())
	l := deviceList{out: bufio.NewWriterSize(w, 32<<10), judge: func(*device.Presence) *verdict.Verdict { return nil }}
	if judged {
		l.judge = s.inShort(r.Context())
	}
	l.begin()
	if q.Has("imei") {
		l.add(s.findDevice(r.Context(), q.Get("imei"), list.State))
	} else {
		s.writePages(r.Context(), &l, list, paged)
	}
	l.end()
	return nil
}

// findDevice is a list of the device, if it is in the state.
func (s *Server) findDevice(ctx context.Context, imei string, state device.State) ([]device.Presence, string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	p, known, err := s.Devices.Find(ctx, imei)
	if !known || !state.Has(&p) {
		return nil, "", err
	}
	return []device.Presence{p}, "", err
}

// writePages writes one page, or all of them.
func (s *Server) writePages(ctx context.Context, l *deviceList, q device.Query, one bool) {
	for {
		limited, cancel := context.WithTimeout(ctx, storeTimeout)
		page, next, err := s.Devices.List(limited, q)
		cancel()
		if l.add(page, next, err); one || next == "" || ctx.Err() != nil {
			return
		}
		q.After, q.Here = next, q.Here || err != nil // a store that is away is waited for once
		l.next = ""
	}
}

// deviceList is {"devices":[…]} being written.
type deviceList struct {
	out        *bufio.Writer // keeps its first error, which is that nobody reads any more
	count      int
	next       string // the cursor of what follows, if only a page is written
	incomplete error

	judge func(*device.Presence) *verdict.Verdict
}

func (l *deviceList) begin() { l.out.WriteString(`{"devices":[`) }

// add writes each device on a line.
func (l *deviceList) add(page []device.Presence, next string, err error) {
	if l.next = next; l.incomplete == nil {
		l.incomplete = err
	}
	encoder := json.NewEncoder(l.out)
	encoder.SetEscapeHTML(false)
	for i := range page {
		if l.count > 0 {
			l.out.WriteByte(',')
		}
		if l.count++; encoder.Encode(&Device{Presence: page[i], Verdict: l.judge(&page[i])}) != nil {
			return
		}
	}
}

func (l *deviceList) end() {
	l.out.WriteByte(']')
	rest := struct {
		Next       string `json:"next,omitempty"`
		Incomplete string `json:"incomplete,omitempty"`
	}{l.next, incomplete(l.incomplete)}
	if b, err := json.Marshal(rest); err == nil && len(b) > len("{}") {
		l.out.WriteByte(',')
		l.out.Write(b[1:])
	} else {
		l.out.WriteByte('}')
	}
	l.out.WriteByte('\n')
	l.out.Flush()
}

// incomplete says that other instances are not in the answer, and why.
func incomplete(err error) string {
	if err == nil {
		return ""
	}
	return "only what this instance knows itself, the store of devices does not answer: " + err.Error()
}

func (s *Server) showDevice(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	it := s.why(r.Context(), s.basis(r.Context()), r.PathValue("imei"))
	switch {
	case it.known:
		writeJSON(w, http.StatusOK, &Device{Presence: it.presence, Verdict: &it.verdict, Incomplete: incomplete(it.missing)})
		return nil
	case it.missing != nil && it.verdict.Severity == verdict.Unknown:
		return again("this instance has never seen the device, and the store of devices does not answer: " +
			it.missing.Error())
	}
	p := problem(http.StatusNotFound, "the device was never seen")
	p.Verdict = &it.verdict
	return p
}

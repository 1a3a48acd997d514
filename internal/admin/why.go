package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
)

// Strangers are those who knocked and never logged in, at all instances, the last one first; a [stranger.Sharing] is
// one. After an error those of other instances are missing.
type Strangers interface {
	Strangers(ctx context.Context) ([]stranger.Stranger, error)
}

// StrangerList is the answer to GET /v1/strangers.
type StrangerList struct {
	Strangers  []stranger.Stranger `json:"strangers"`
	Incomplete string              `json:"incomplete,omitempty"`
}

// listStrangers shows who knocked, all or those with an IMEI.
func (s *Server) listStrangers(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "imei", "limit")
	if err != nil {
		return err
	}
	limit, err := limitParameter(q, stranger.Size, stranger.Size)
	if err != nil {
		return err
	}
	done, err := s.mayList()
	if err != nil {
		return err
	}
	defer done()
	all, err := s.whoKnocked(r.Context())
	list := &StrangerList{Strangers: []stranger.Stranger{}, Incomplete: incomplete(err)}
	for i := range all {
		if len(list.Strangers) < limit && (!q.Has("imei") || all[i].IMEI == q.Get("imei")) {
			list.Strangers = append(list.Strangers, all[i])
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (s *Server) whoKnocked(ctx context.Context) ([]stranger.Stranger, error) {
	if s.Strangers == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.Strangers.Strangers(ctx)
}

// basis is what verdicts rest on beside the device.
type basis struct {
	knocks  *verdict.Knocks
	service verdict.Service
	missing error
	now     time.Time
}

func (s *Server) basis(ctx context.Context) basis {
	all, err := s.whoKnocked(ctx)
	b := basis{missing: err, now: time.Now()}
	b.knocks = verdict.NewKnocks(all, b.now)
	if s.Service != nil {
		b.service = s.Service()
	}
	return b
}

// of is what is known of a device; p is nil if it was never seen.
func (b *basis) of(imei string, p *device.Presence) verdict.Known {
	return verdict.Known{IMEI: imei, Presence: p, Knocks: b.knocks, Service: b.service, Missing: incomplete(b.missing),
		Now: b.now}
}

// inShort judges devices by what is known now, without evidence.
func (s *Server) inShort(ctx context.Context) func(*device.Presence) *verdict.Verdict {
	b := s.basis(ctx)
	return func(p *device.Presence) *verdict.Verdict {
		v := verdict.Of(b.of(p.IMEI, p))
		v.Evidence, v.Next = nil, ""
		return &v
	}
}

// finding is what is known of a device, and the verdict on it.
type finding struct {
	presence device.Presence
	known    bool // it was seen
	verdict  verdict.Verdict
	missing  error // why what other instances know is
}

// why finds what is the matter with the device.
func (s *Server) why(ctx context.Context, b basis, imei string) (f finding) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var err error
	f.presence, f.known, err = s.Devices.Find(ctx, imei)
	b.missing = cmp.Or(err, b.missing)
	k := b.of(imei, nil)
	if f.known {
		k.Presence = &f.presence
	}
	f.verdict, f.missing = verdict.Of(k), b.missing
	return f
}

// Diagnosis is a device and what is the matter with it.
type Diagnosis struct {
	IMEI     string          `json:"imei"`
	LastSeen Time            `json:"last_seen,omitzero"`
	Verdict  verdict.Verdict `json:"verdict"`
}

// ProblemList is the answer to GET /v1/problems.
type ProblemList struct {
	Problems   []Diagnosis `json:"problems"` // the worst first
	Total      int         `json:"total"`    // of all pages
	Next       string      `json:"next,omitempty"`
	Incomplete string      `json:"incomplete,omitempty"`
}

// MaxProblems is how many problems a page may have.
const MaxProblems = 1000

// How many a page has if it is not said, how many devices are looked at together, and how long all of them may take.
const (
	someProblems   = 200
	problemBatch   = 10_000
	problemTimeout = time.Minute
)

// listProblems shows the devices with a problem, of all instances.
func (s *Server) listProblems(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "cursor", "limit")
	if err != nil {
		return err
	}
	limit, err := limitParameter(q, someProblems, MaxProblems)
	if err != nil {
		return err
	}
	after, err := parseRank(q.Get("cursor"))
	if err != nil {
		return err
	}
	done, err := s.mayList()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), problemTimeout)
	defer cancel()
	writeJSON(w, http.StatusOK, s.problems(ctx, after, limit))
	return nil
}

// ranked is a device by how bad its problem is.
type ranked struct {
	rank int
	imei string
}

func (r ranked) compare(o ranked) int {
	return cmp.Or(cmp.Compare(r.rank, o.rank), strings.Compare(r.imei, o.imei))
}

// cursor is where the next page begins.
func (r ranked) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(r.rank) + " " + r.imei))
}

func parseRank(cursor string) (r ranked, err error) {
	if cursor == "" {
		return ranked{rank: -1}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	rank, imei, found := strings.Cut(string(text), " ")
	n, numberErr := strconv.Atoi(rank)
	if err != nil || !found || numberErr != nil {
		return r, wrongFields(map[string]string{"cursor": "is none of this API"})
	}
	return ranked{n, imei}, nil
}

// problems is a page of those behind after.
func (s *Server) problems(ctx context.Context, after ranked, limit int) *ProblemList {
	b := s.basis(ctx)
	var all []ranked
	for imei, rank := range s.rankAll(ctx, &b) {
		all = append(all, ranked{rank, imei})
	}
	slices.SortFunc(all, ranked.compare)
	list := &ProblemList{Problems: []Diagnosis{}, Total: len(all)}
	begin, _ := slices.BinarySearchFunc(all, after, func(a, b ranked) int { return cmp.Or(a.compare(b), -1) })
	page := all[begin:]
	if len(page) > limit {
		page = page[:limit]
		list.Next = page[limit-1].cursor()
	}
	for _, r := range page {
		if f := s.why(ctx, b, r.imei); f.verdict.Severity == verdict.Problem {
			list.Problems = append(list.Problems, Diagnosis{r.imei, f.presence.LastSeen, f.verdict})
		}
	}
	list.Incomplete = incomplete(cmp.Or(b.missing, ctx.Err()))
	return list
}

// rankAll looks at all devices, and at the strangers who may be devices. It returns those with a problem.
func (s *Server) rankAll(ctx context.Context, b *basis) map[string]int {
	ranks := make(map[string]int)
	known := make(map[string]bool) // of the strangers' IMEIs
	for _, imei := range b.knocks.Named() {
		known[imei] = false
	}
	for q := (device.Query{State: device.StateAll, Limit: problemBatch}); ctx.Err() == nil; {
		page, next, err := s.Devices.List(ctx, q)
		b.missing = cmp.Or(b.missing, err)
		for i := range page {
			p := &page[i]
			if _, named := known[p.IMEI]; named {
				known[p.IMEI] = true
			}
			rank, severity := verdict.RankOf(b.of(p.IMEI, p))
			if was, twice := ranks[p.IMEI]; severity == verdict.Problem && (!twice || rank < was) {
				ranks[p.IMEI] = rank // twice: by connections and by datagrams
			}
		}
		if next == "" {
			break
		}
		q.After, q.Here = next, q.Here || err != nil // a store that is away is waited for once
	}
	for imei, seen := range known {
		if !seen {
			ranks[imei], _ = verdict.RankOf(b.of(imei, nil))
		}
	}
	return ranks
}

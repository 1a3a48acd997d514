package admin

import (
	"encoding/json"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
)

// shedding notes what is asked for, and is busy from the second time on.
type shedding struct {
	asked []shed.Part
	by    []string
}

func (s *shedding) Begin(p shed.Part, _ shed.Cause, by string) (shed.Status, error) {
	if s.asked, s.by = append(s.asked, p), append(s.by, by); len(s.asked) > 1 {
		return shed.Status{}, shed.ErrBusy
	}
	return shed.Status{Running: true, Cause: shed.ByRequest, Closing: 20, OverMS: 10000, Connections: 100}, nil
}

func (s *shedding) Status() shed.Status { return shed.Status{Connections: 100} }

func TestShed(t *testing.T) {
	s := &shedding{}
	r := start(t, Options{Shedding: s})
	a := r.ask("POST", "/v1/shed", `{"percent":20,"over_ms":10000}`)
	a.want(t, 202)
	var got shed.Status
	if err := json.Unmarshal(a.body, &got); err != nil || !got.Running || got.Closing != 20 {
		t.Errorf("%s, %v", a.body, err)
	}
	if p := s.asked[0]; p.Percent != 20 || p.Connections != 0 || p.Over.Seconds() != 10 || s.by[0] == "http " {
		t.Errorf("asked for %+v by %q", p, s.by[0])
	}
	r.ask("POST", "/v1/shed", `{"connections":5}`).want(t, 409)
	r.ask("GET", "/v1/shed", "").want(t, 200)
	for _, body := range []string{`x`, `[]`, `{}`, `{"percent":0}`, `{"percent":101}`, `{"percent":"20"}`,
		`{"percent":20,"connections":5}`, `{"connections":-1}`, `{"percent":20,"over_ms":3600001}`, `{"percent":20,"all":1}`,
	} {
		r.ask("POST", "/v1/shed", body).want(t, 400)
	}
	if len(s.asked) != 2 {
		t.Errorf("asked for %+v", s.asked)
	}
}

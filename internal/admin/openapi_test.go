package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api"
	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin/page"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadletter"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/overview"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// TestOpenAPIIsServed also to who has no token: it is the same for everybody.
func TestOpenAPIIsServed(t *testing.T) {
	s := start(t, Options{Token: token})
	a := s.ask("GET", openAPIPath, "")
	if a.StatusCode != 200 || string(a.body) != string(api.OpenAPI) || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %s, %d bytes", a.Status, a.Header, len(a.body))
	}
	s.ask("POST", openAPIPath, "{}").want(t, 405)
	s.ask("GET", "/openapi", "").want(t, 401)
	start(t, Options{}).ask("GET", openAPIPath, "", "Host", "evil.example").want(t, 403)
}

// TestPathsAreDocumented: what may be done with which path is the same in the document and in the server.
func TestPathsAreDocumented(t *testing.T) {
	served := []string{"GET /", "GET " + page.Prefix + "{file}"}
	for path, may := range new(Server).paths() {
		for method := range may {
			served = append(served, method+" "+path)
		}
	}
	var documented []string
	for _, o := range apitest.Strict().Operations() {
		documented = append(documented, o.Method+" "+o.Path)
	}
	slices.Sort(served)
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("\n  served %q\ndocument %q", served, documented)
	}
}

func schemaOf(name string) string { return "openapi.json#/components/schemas/" + name }

// TestTypesAreDocumented: every type that is answered has the members of its schema, and those in it theirs.
func TestTypesAreDocumented(t *testing.T) {
	for name, of := range map[string]reflect.Type{
		"CommandRequest": reflect.TypeFor[Request](), "Command": reflect.TypeFor[Entry](),
		"Named": reflect.TypeFor[Named](), "NameList": reflect.TypeFor[NameList](),
		"CommandList": reflect.TypeFor[CommandList](), "Problem": reflect.TypeFor[Problem](),
		"Device": reflect.TypeFor[Device](), "Presence": reflect.TypeFor[device.Presence](),
		"ProblemList": reflect.TypeFor[ProblemList](), "StrangerList": reflect.TypeFor[StrangerList](),
		"RecordList": reflect.TypeFor[RecordList](), "DeadLetterList": reflect.TypeFor[DeadLetterList](),
		"DeadLetterListed": reflect.TypeFor[deadletter.Listed](), "DeadLetter": reflect.TypeFor[DeadLetter](),
		"Replayed": reflect.TypeFor[Replayed](), "Status": reflect.TypeFor[overview.Status](),
		"Shed":      reflect.TypeFor[shed.Status](),
		"TapPacket": reflect.TypeFor[TapPacket](), "Verdict": reflect.TypeFor[verdict.Verdict](),
	} {
		apitest.Strict().CheckType(t, schemaOf(name), of)
	}
}

// texts are values as the strings that they are.
func texts[T ~string](all ...T) (s []string) {
	for _, v := range all {
		s = append(s, string(v))
	}
	return s
}

// TestWordsAreDocumented: closed sets of words are the same in the document and in the program.
func TestWordsAreDocumented(t *testing.T) {
	var codes, families []string
	for _, d := range verdict.Descriptions() {
		codes = append(codes, string(d.Code))
	}
	for _, f := range meaning.Families() {
		families = append(families, f.String())
	}
	states := append([]command.State{command.Queued, command.Sent}, command.FinalStates...)
	for member, want := range map[string][]string{
		"Command/properties/state":     texts(states...),
		"Command/properties/waits_for": {WaitsForDevice, WaitsForTurn},
		"Problem/properties/reason":    texts(slices.Collect(maps.Keys(refusals))...),
		"Verdict/properties/code":      codes,
		"Verdict/properties/severity":  texts(verdict.Fine, verdict.Problem, verdict.Unknown),
		"Login/properties/answer":      {device.LoginAccepted, device.LoginDelayed, device.LoginRejected},
		"Login/properties/reason":      {device.LoginNotListed, device.LoginCertificate, device.LoginBackoff},
		"Presence/properties/family":   families,
		"Stranger/properties/cause":    texts(stranger.Causes...),
		"Stranger/properties/imei_as": {stranger.AsLogin, stranger.AsText, stranger.AsHexText, stranger.AsBCD,
			stranger.AsNumber, stranger.AsHTTPPath, stranger.AsClientID},
		"Stranger/properties/door": texts(stranger.DoorTCP, stranger.DoorTLS, stranger.DoorUDP, stranger.DoorHTTP,
			stranger.DoorAdmin),
		"TapPacket/properties/transport": Transports,
		"TapPacket/properties/outcome":   texts(tap.Outcomes...),
		"TapPacket/properties/kind":      texts(tap.Login, tap.Frame, tap.Datagram, tap.Command),
		"TapEnd/properties/reason":       {tapOver, tapStopping},
	} {
		property, _ := apitest.Strict().At(schemaOf(member)).(map[string]any)
		listed, _ := property["enum"].([]any)
		var got []string
		for _, word := range listed {
			got = append(got, fmt.Sprint(word))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("%s\ndocument %q\n program %q", member, got, want)
		}
	}
}

// TestBoundsAreDocumented: a parameter may be what the document says, and nothing beyond.
func TestBoundsAreDocumented(t *testing.T) {
	letters, _ := desk(t, buried(t, present, true))
	s := start(t, Options{DeadLetters: letters, Records: shelf{published("")}, Tap: tap.NewHub(nil)})
	asked := 0
	for _, o := range apitest.Strict().Operations() {
		for name, parameter := range apitest.Strict().Parameters(&o) {
			good, bad := around(parameter["schema"].(map[string]any))
			path := strings.NewReplacer("{imei}", present, "{id}", "x", "{ref}", "1").Replace(o.Path)
			for value, fits := range join(good, bad) {
				asked++
				if got := s.takes(o.Method, path, name, value); got != fits {
					t.Errorf("%s %s: %s=%s is taken: %v", o.Method, path, name, value, got)
				}
			}
		}
	}
	if asked < 60 {
		t.Errorf("only %d values asked for", asked)
	}
	s.checkBody(t)
}

// takes reports whether a parameter is not said to be wrong.
func (r *running) takes(method, path, name, value string) bool {
	r.t.Helper()
	query := url.Values{name: {value}}
	if path == "/v1/tap" && name != "for_ms" {
		query.Set("for_ms", "1")
	}
	if name == "for_ms" && value != "0" {
		query.Set("explain", "no") // a long tap is not waited for
	}
	a := r.ask(method, path+"?"+query.Encode(), "")
	var p Problem
	return a.StatusCode != 400 || json.Unmarshal(a.body, &p) == nil && p.Fields[name] == ""
}

// around are values that a schema just takes, and that it just does not take.
func around(schema map[string]any) (good, bad []string) {
	number := func(key string) (n int64, ok bool) {
		v, ok := schema[key].(json.Number)
		n, _ = v.Int64()
		return n, ok
	}
	low, lowest := number("minimum")
	high, highest := number("maximum")
	switch words, closed := schema["enum"].([]any); {
	case lowest && highest:
		return []string{fmt.Sprint(low), fmt.Sprint(high)}, []string{fmt.Sprint(low - 1), fmt.Sprint(high + 1), "x", "1.5"}
	case closed:
		for _, word := range words {
			good = append(good, fmt.Sprint(word))
		}
		return good, []string{"0"}
	}
	return nil, nil
}

func join(good, bad []string) map[string]bool {
	all := map[string]bool{}
	for _, value := range bad {
		all[value] = false
	}
	for _, value := range good {
		all[value] = true
	}
	return all
}

// checkBody asks for commands whose numbers are just within the document's bounds, and just beyond.
func (r *running) checkBody(t *testing.T) {
	members := apitest.Strict().At(schemaOf("CommandRequest") + "/properties").(map[string]any)
	for name, schema := range members {
		good, bad := around(schema.(map[string]any))
		if schema.(map[string]any)["type"] != "integer" {
			continue
		}
		for value, fits := range join(good, bad) {
			if value == "x" {
				value = `"x"`
			}
			wait := `,"wait_ms":0`
			if name == "wait_ms" {
				wait = ""
			}
			a := r.ask("POST", commandsOf(present), `{"command":"getinfo"`+wait+`,"`+name+`":`+value+`}`)
			if (a.StatusCode != 400) != fits {
				t.Errorf("%s %s: %s %s", name, value, a.Status, a.body)
			}
		}
	}
}

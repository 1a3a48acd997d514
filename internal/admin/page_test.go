package admin

import (
	"strings"
	"testing"
)

// TestPageNeedsNoToken: its files hold nothing, and what they ask for needs the token.
func TestPageNeedsNoToken(t *testing.T) {
	s := start(t, Options{Token: token})
	for _, path := range []string{"/", "/page/js/main.js"} {
		a := s.ask("GET", path, "", "Host", "tracker-1.example", "Sec-Fetch-Site", "cross-site")
		policy := a.Header.Get("Content-Security-Policy")
		if a.StatusCode != 200 || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s, policy %q", path, a.Status, policy)
		}
		if strings.Contains(string(a.body), "Read-only") || strings.Contains(string(a.body), token) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	for _, path := range []string{"/v1/status", "/page", "/x"} {
		s.ask("GET", path, "").want(t, 401)
	}
	s.ask("GET", "/v1/status", "", "Authorization", "Bearer "+token).want(t, 200)
	s.ask("POST", commandsOf(absent), `{"command":"getver","id":"p1","wait_ms":0}`, "Authorization", "Bearer "+token,
		"Sec-Fetch-Site", "same-origin", "Origin", "http://"+s.address).want(t, 202)
}

// TestPageOnlyShowsWithoutToken: a browser may read, and other programs may what they always may.
func TestPageOnlyShowsWithoutToken(t *testing.T) {
	s := start(t, Options{})
	if a := s.ask("GET", "/", ""); a.StatusCode != 200 || !strings.Contains(string(a.body), "Read-only") {
		t.Errorf("%s: %s", a.Status, a.body)
	}
	s.ask("POST", commandsOf(absent), `{"command":"getver","id":"p1","wait_ms":0}`).want(t, 202)
	own := []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + s.address}
	s.ask("GET", "/v1/status", "", own...).want(t, 200)
	s.ask("POST", commandsOf(present), `{"command":"getver"}`, own...).want(t, 403)
	s.ask("DELETE", commandsOf(absent)+"/p1", "", own...).want(t, 403)
	if len(s.memory.kept) != 1 || s.memory.kept["p1"].State.Final() {
		t.Errorf("kept %+v", s.memory.kept)
	}
	// Another page cannot read what it asks for, and is not let ask either.
	for _, site := range []string{"cross-site", "same-site"} {
		s.ask("GET", "/v1/status", "", "Sec-Fetch-Site", site).want(t, 403)
	}
	// A rebound name gets not even the page.
	s.ask("GET", "/", "", "Host", "evil.example").want(t, 403)
}

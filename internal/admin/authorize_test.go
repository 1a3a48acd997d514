package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const token = "0123456789abcdef"

func TestToken(t *testing.T) {
	s := start(t, Options{Token: token})
	for _, c := range []struct {
		authorization string
		status        int
	}{
		{"", 401},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"Bearer " + token[1:], 401},
		{"Bearer " + token + "0", 401},
		{"Basic " + token, 401},
		{token, 401},
		{"Bearer " + token, 200},
		{"bearer  " + token, 200},
	} {
		a := s.ask("GET", "/v1/devices", "", "Authorization", c.authorization, "Host", "tracker-1.example")
		a.want(t, c.status)
		if challenge := a.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) ||
			strings.Contains(string(a.body), token) {
			t.Errorf("%q: WWW-Authenticate %q: %s", c.authorization, challenge, a.body)
		}
	}
	s.ask("POST", commandsOf(present), `{"command":"getver"}`).want(t, 401)
	s.ask("DELETE", commandsOf(present)+"/x", "").want(t, 401)
	s.ask("GET", "/nothing", "").want(t, 401)
	if len(s.memory.kept) > 0 {
		t.Error("a command is accepted without the token")
	}
	if !s.log.Has(`msg="admin request refused" remote=127.0.0.1:`) || s.log.Has(token) {
		t.Errorf("log:\n%s", s.log)
	}
}

// TestHosts: a page whose DNS name is rebound to this machine sends that name.
func TestHosts(t *testing.T) {
	s := start(t, Options{})
	for host, status := range map[string]int{
		"localhost": 200, "LOCALHOST:9091": 200, "127.0.0.1": 200, "127.1.2.3:9091": 200, "[::1]": 200, "[::1]:9091": 200,
		"evil.example": 403, "evil.example:9091": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
		"192.0.2.1": 403,
		"0.0.0.0":   403, "[::]": 403, "192.0.2.1:9091": 403,
	} {
		if a := s.ask("GET", "/v1/devices", "", "Host", host); a.StatusCode != status {
			t.Errorf("%s: %s, want %d", host, a.Status, status)
		}
	}
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /v1/devices HTTP/1.0\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 403 ") {
		t.Errorf("without a host: %q, %v", line, err)
	}
}

// TestWebPages sends what a page in a browser on this machine can send without asking, and a little more.
func TestWebPages(t *testing.T) {
	s := start(t, Options{})
	s.ask("POST", commandsOf(absent), `{"command":"getver","id":"p1","wait_ms":0}`, "Content-Type",
		"application/json; charset=utf-8").want(t, 202)
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"POST", commandsOf(present), []string{"Content-Type", "text/plain"}, 415},
		{"POST", commandsOf(present), []string{"Content-Type", ""}, 415},
		{"POST", commandsOf(present), []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"POST", commandsOf(present), []string{"Content-Type", "text/plain; application/json"}, 415},
		{"POST", commandsOf(present), []string{"Origin", "https://evil.example"}, 403},
		{"POST", commandsOf(present), []string{"Origin", "null"}, 403},
		{"POST", commandsOf(present), []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"DELETE", commandsOf(absent) + "/p1", []string{"Origin", "https://evil.example"}, 403},
	} {
		s.ask(c.method, c.path, `{"command":"getver"}`, c.header...).want(t, c.status)
	}
	if e := s.memory.kept["p1"]; len(s.memory.kept) != 1 || e.State.Final() {
		t.Errorf("kept %+v", s.memory.kept)
	}
}

func TestPanic(t *testing.T) {
	s := start(t, Options{})
	s.memory.broken = true
	if a := s.ask("POST", commandsOf(present), `{"command":"getver"}`); strings.Contains(string(a.body), "a bug") {
		t.Errorf("%s", a.body)
	} else {
		a.want(t, 500)
	}
	s.ask("GET", "/v1/devices", "").want(t, 200)
	if !s.log.Has(`msg="admin request panicked"`) || !s.log.Has(`panic="a bug"`) || !s.log.Has("memory_test.go") {
		t.Errorf("log:\n%s", s.log)
	}
	s.memory.broken = false
	if len(s.waiting) != 0 {
		t.Error("a place to wait is lost")
	}
}

// Who holds connections without a request keeps nobody out.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	s := start(t, Options{MaxConnections: 16})
	for range 50 {
		s.dial()
	}
	s.ask("GET", "/v1/devices", "").want(t, 200)
}

func (s *running) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// A body without the token is not waited for: the answer is there before it, and the connection ends.
func TestUnauthorizedBodyIsNotWaitedFor(t *testing.T) {
	s := start(t, Options{Token: token})
	c := s.dial()
	begun := time.Now()
	fmt.Fprintf(c,
		"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		commandsOf(present))
	b, err := io.ReadAll(c)
	if took := time.Since(begun); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 401") || took > bodyTimeout/2 {
		t.Errorf("%q, %v after %v", b, err, took)
	}
}

// Who guesses tokens is told less and less, but the token is good at the same address, and nothing changes at another.
func TestTooManyRequestsWithoutTheToken(t *testing.T) {
	s := start(t, Options{Token: token})
	statuses := make(map[int]int)
	for range unauthenticatedRate.Burst + 20 {
		statuses[s.ask("GET", "/v1/devices", "", "Authorization", "Bearer wrong").StatusCode]++
	}
	if statuses[401] < unauthenticatedRate.Burst || statuses[401] > unauthenticatedRate.Burst+5 ||
		statuses[401]+statuses[429] != unauthenticatedRate.Burst+20 {
		t.Errorf("answers: %v", statuses)
	}
	s.ask("GET", "/v1/devices", "", "Authorization", "Bearer "+token).want(t, 200)
	other := &http.Request{RemoteAddr: "192.0.2.7:1234"}
	if p := s.unauthorized(other); p.Status != 401 {
		t.Errorf("another address gets %d", p.Status)
	}
}

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWhyAllOfAStoreThatIsAway expects no word that all is well from a server that could not look at all devices.
func TestWhyAllOfAStoreThatIsAway(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"problems":[],"total":0,"incomplete":"the store does not answer"}`)
	}))
	defer s.Close()
	own := map[string]string{"ADMIN_ADDRESS": strings.TrimPrefix(s.URL, "http://")}
	code, out, errOut := execute(t, own, "", "why", "--all")
	if code != exitNoVerdict || out != "" || !strings.Contains(errOut, "the store does not answer") ||
		!strings.Contains(errOut, "not all devices could be looked at") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

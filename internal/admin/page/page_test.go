package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func ask(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestFiles(t *testing.T) {
	h := New(Options{})
	for path, mediaType := range map[string]string{
		"/": "text/html", "/page/style.css": "text/css", "/page/js/main.js": "text/javascript", "/page/icon.svg": "image/svg",
	} {
		a := ask(h, "GET", path)
		if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), mediaType) ||
			a.Header.Get("Content-Security-Policy") != policy || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
		if again := ask(h, "GET", path, "If-None-Match", a.Header.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("%s again: %d", path, again.StatusCode)
		}
	}
	for _, path := range []string{"/page/", "/page/index.html", "/page/../page.go", "/page/js"} {
		if a := ask(h, "GET", path); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	if a := ask(h, "POST", "/"); a.StatusCode != 405 {
		t.Errorf("POST: %d", a.StatusCode)
	}
}

var (
	makesCode = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|` +
		`createContextualFragment|DOMParser|setHTML|\son\w+\s*=\s*"|style=|<style|javascript:`)
	address = regexp.MustCompile(`(?:https?:)?//[a-z][a-z0-9.]+`)
	// Where links lead; nothing is asked for there.
	links = []string{"http://www.w3.org", "https://git.dev.trmtracking.org"}
)

// TestNothingMakesHTML: nothing in the files makes elements or code of strings, or asks anybody else.
func TestNothingMakesHTML(t *testing.T) {
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		for _, found := range makesCode.FindAllString(string(body), -1) {
			t.Errorf("%s: %q", name, found)
		}
		for _, found := range address.FindAllString(string(body), -1) {
			if !slices.Contains(links, found) {
				t.Errorf("%s: %q", name, found)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

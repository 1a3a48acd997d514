package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// gitea takes a release as Gitea's API does, and notes what it is asked, in order.
type gitea struct {
	t      *testing.T
	fails  string // the file that it does not take
	asked  []string
	become release
}

func (g *gitea) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "token t0k3n" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	asked := r.Method + " " + r.URL.Path
	switch {
	case strings.HasSuffix(r.URL.Path, "/assets"):
		name := r.URL.Query().Get("name")
		asked += " " + name + " " + g.attachment(r)
		if name == g.fails {
			w.WriteHeader(http.StatusInsufficientStorage)
		}
		fmt.Fprint(w, "{}")
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		if err := json.NewDecoder(r.Body).Decode(&g.become); err != nil {
			g.t.Error(err)
		}
		g.become.ID = 7
		if err := json.NewEncoder(w).Encode(g.become); err != nil {
			g.t.Error(err)
		}
	}
	g.asked = append(g.asked, asked)
}

func (g *gitea) attachment(r *http.Request) string {
	f, _, err := r.FormFile("attachment")
	if err != nil {
		g.t.Error(err)
		return ""
	}
	content, err := io.ReadAll(f)
	if err != nil {
		g.t.Error(err)
	}
	return string(content)
}

func TestPublish(t *testing.T) {
	const at = "/api/v1/repos/trm/tcp-ingestion/releases"
	begins := []string{"POST " + at, "POST " + at + "/7/assets RELEASE_NOTES.md * New.\n"}
	whole := append(slices.Clone(begins), "POST "+at+"/7/assets a+b~1.deb package", "PATCH "+at+"/7")
	for _, c := range []struct {
		name, tag, token, fails string
		asked                   []string
		become                  release
	}{
		{"whole", "v1.0.0", "t0k3n", "", whole, release{ID: 7}},
		{"candidate", "v1.0.0-rc.1", "t0k3n", "", whole, release{ID: 7, Prerelease: true}},
		{"refused file", "v1.0.0", "t0k3n", "RELEASE_NOTES.md", append(slices.Clone(begins), "DELETE "+at+"/7"),
			release{ID: 7, Draft: true}},
		{"wrong token", "v1.0.0", "other", "", nil, release{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string]string{"RELEASE_NOTES.md": "* New.\n", "a+b~1.deb": "package"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			g := &gitea{t: t, fails: c.fails}
			s := httptest.NewServer(g)
			defer s.Close()
			err := repository{api: s.URL + "/api/v1/repos/trm/tcp-ingestion", token: c.token}.publish(t.Context(), c.tag, dir)
			if (err == nil) != (c.asked != nil && c.fails == "") {
				t.Errorf("ends with %v", err)
			}
			if !slices.Equal(g.asked, c.asked) {
				t.Errorf("asked %q, want %q", g.asked, c.asked)
			}
			if c.asked != nil {
				c.become.TagName, c.become.Name, c.become.Body = c.tag, c.tag, "* New.\n\nThis release is not signed.\n"
			}
			if g.become != c.become {
				t.Errorf("became %+v, want %+v", g.become, c.become)
			}
		})
	}
}

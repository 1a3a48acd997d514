// Package page is the operator's page: what a browser shows of the API. It is a shell, a style and scripts, all of them
// the same for everybody; what they show they ask the API for, with the token that the operator has given them.
//
// Whatever a device says is text. The scripts make no HTML of strings, and the policy that goes with the page has the
// browser refuse it if one ever did, as it refuses scripts and styles within the page and requests to anywhere else.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed index.html style.css icon.svg js
var files embed.FS

// policy is what a browser lets the page do: ask where it comes from, and nothing else. Trusted Types without a policy
// of ours make every assignment of HTML an error.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Prefix is the path of all files but the shell, which is at /.
const Prefix = "/page/"

// Options are what the shell says.
type Options struct {
	ReadOnly bool // the API has no token, so nothing may be changed from the page
}

// asset is a file as it is served.
type asset struct {
	body      []byte
	mediaType string
	tag       string // of HTTP: another one for other bytes
}

// Handler serves the page at / and Prefix.
type Handler map[string]*asset

// New returns the page.
func New(o Options) Handler {
	h := make(Handler)
	var scripts []string
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "index.html" {
			return err
		}
		body, err := files.ReadFile(name)
		h.add(Prefix+name, body)
		if path.Ext(name) == ".js" {
			scripts = append(scripts, Prefix+name)
		}
		return err
	})
	if err != nil {
		panic(err) // the files are in the binary
	}
	var shell bytes.Buffer
	page := template.Must(template.ParseFS(files, "index.html"))
	if err := page.Execute(&shell, map[string]any{"ReadOnly": o.ReadOnly, "Scripts": scripts}); err != nil {
		panic(err)
	}
	h.add("/", shell.Bytes())
	return h
}

var mediaTypes = map[string]string{
	"": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func (h Handler) add(at string, body []byte) {
	sum := sha256.Sum256(body)
	h[at] = &asset{body, mediaTypes[path.Ext(at)], `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// Serves reports whether a path is the page's.
func Serves(path string) bool { return path == "/" || strings.HasPrefix(path, Prefix) }

// ServeHTTP implements [http.Handler].
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h[r.URL.Path]
	switch {
	case a == nil:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	header := w.Header()
	header.Set("Content-Type", a.mediaType)
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache") // asked for again each time, and answered by the tag
	header.Set("ETag", a.tag)
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(a.body)
}

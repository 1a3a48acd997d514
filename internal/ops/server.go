// Package ops is what operators and their tools ask: /healthz, /readyz and /metrics.
package ops

import (
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/httpserver"
)

// Server answers over HTTP. No answer waits for the engine.
type Server struct{ *httpserver.Server }

// Requests have no bodies, and answers are a few hundred KiB.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
)

// Options are what the server is made of. NotHTTP may be nil; see httpserver.Options.
type Options struct {
	Gatherer       prometheus.Gatherer
	NotReady       func() []string // why the process should get no new devices; none if it should
	Warnings       func() []string // what does not work and is no such reason
	Durability     fmt.Stringer    // what the engine promises, in words; nil: nothing is said of it
	Page           func() string   // the URL of the operator's page, empty without it; nil: there is none to be turned on
	MaxConnections int
	NotHTTP        func(remote net.Addr, first []byte)
	Logger         *slog.Logger
}

// NewServer returns a server that listens to nobody yet.
func NewServer(o Options) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", o.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /{$}", o.links)
	return &Server{httpserver.New(httpserver.Options{
		Handler: mux, MaxConnections: o.MaxConnections, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		NotHTTP: o.NotHTTP, Logger: o.Logger,
	})}
}

func (o *Options) ready(w http.ResponseWriter, _ *http.Request) {
	answer := map[string]any{"ready": true}
	if o.Durability != nil {
		answer["durability"] = o.Durability.String()
	}
	if w := o.Warnings(); len(w) > 0 {
		answer["warnings"] = w
	}
	if reasons := o.NotReady(); len(reasons) > 0 {
		answer["ready"], answer["reasons"] = false, reasons
		writeJSON(w, http.StatusServiceUnavailable, answer)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// linksPage is for whoever opens the port in a browser.
var linksPage = template.Must(template.New("links").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tcp-ingestion</title>
<h1>tcp-ingestion</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/readyz">/readyz</a>: whether new devices should come here, and why not
<li><a href="/healthz">/healthz</a>: whether the process serves
{{- if .URL}}
<li><a href="{{.URL}}">{{.URL}}</a>: the operator's page
<li><a href="{{.URL}}openapi.json">{{.URL}}openapi.json</a>: its API, for programs
{{- else if .Known}}
<li>The operator's page is off: set ADMIN_ADDRESS.
{{- end}}
</ul>
`))

func (o *Options) links(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	page := struct {
		Known bool
		URL   string
	}{Known: o.Page != nil}
	if page.Known {
		page.URL = o.Page()
	}
	_ = linksPage.Execute(w, page) // whoever asked may have left
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

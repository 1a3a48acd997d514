// Package ops is what operators and their tools ask: /healthz, /readyz and /metrics.
package ops

import (
	"encoding/json"
	"fmt"
	"log/slog"
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

// NewServer returns a server. notReady gives the reasons why the process should get no new devices, none if it
// should, warnings what does not work and is no such reason, and durability what the engine promises, in words. It has
// so many connections at most.
func NewServer(g prometheus.Gatherer, notReady, warnings func() []string, durability fmt.Stringer, maxConnections int,
	logger *slog.Logger) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer := map[string]any{"ready": true, "durability": durability.String()}
		if w := warnings(); len(w) > 0 {
			answer["warnings"] = w
		}
		if reasons := notReady(); len(reasons) > 0 {
			answer["ready"], answer["reasons"] = false, reasons
			writeJSON(w, http.StatusServiceUnavailable, answer)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return &Server{httpserver.New(httpserver.Options{
		Handler: mux, MaxConnections: maxConnections, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, Logger: logger,
	})}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

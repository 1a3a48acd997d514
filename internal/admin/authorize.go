package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin/page"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// authorize lets through who may use the API; see the package's documentation.
func (s *Server) authorize(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return handler(func(w http.ResponseWriter, r *http.Request) error {
		if p := s.denies(crossOrigin, r); p != nil {
			s.reject(w, r, p)
			return p
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// reject has the request's connection end with the answer, without waiting for a body.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, p *Problem) {
	w.Header().Set("Connection", "close")
	http.NewResponseController(w).SetReadDeadline(time.Now())
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tcp-ingestion"`)
	case http.StatusTooManyRequests:
		return // that it comes too often has been said often enough
	}
	s.Logger.Warn("admin request refused", "remote", r.RemoteAddr, "reason", p.Text)
}

// unauthenticatedRate is how many requests of one address may come without the token. More are answered all the same,
// but not told what is wrong, and not logged. The token is always good, so nobody is locked out by others at his
// address.
var unauthenticatedRate = limit.PerSecond(1, 30)

// unauthenticatedCells is how many addresses are told apart; see limit.Table.
const unauthenticatedCells = 1 << 10

// unauthorized is the answer to a request without the token.
func (s *Server) unauthorized(r *http.Request) *Problem {
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil &&
		!s.unauthenticated.OfAddress(from.Addr()).Take(1, time.Now(), unauthenticatedRate) {
		return &Problem{Status: http.StatusTooManyRequests, Text: "too many requests without the token",
			retryAfter: retrySoon}
	}
	return problem(http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer and ADMIN_TOKEN")
}

func (s *Server) denies(crossOrigin *http.CrossOriginProtection, r *http.Request) *Problem {
	switch {
	case s.Token == "" && !isLoopback(r.Host):
		return problem(http.StatusForbidden,
			"without ADMIN_TOKEN only requests to localhost or a loopback address are answered")
	case page.Serves(r.URL.Path), r.URL.Path == openAPIPath:
		return nil // the same for everybody, and nothing secret in it
	case s.Token != "" && !s.authorized(r):
		return s.unauthorized(r)
	case crossOrigin.Check(r) != nil || fromElsewhere(r):
		return problem(http.StatusForbidden, "the request comes from a web page of another origin")
	case s.Token == "" && r.Method != http.MethodGet && r.Header.Get(fetchSite) != "":
		return problem(http.StatusForbidden, "without ADMIN_TOKEN nothing can be changed from a web page")
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost &&
		(err != nil || mediaType != "application/json") {
		return problem(http.StatusUnsupportedMediaType, "the body must be JSON: send Content-Type: application/json")
	}
	return nil
}

// fetchSite is the header in which a browser says where a request comes from. No page can set it.
const fetchSite = "Sec-Fetch-Site"

// fromElsewhere reports whether a browser says that a page of another origin asks. It could not read the answer, but
// make work.
func fromElsewhere(r *http.Request) bool {
	return !slices.Contains([]string{"", "none", "same-origin"}, r.Header.Get(fetchSite))
}

const hashSize = sha256.Size

// hash makes tokens equally long, so that comparing them tells nothing.
func hash(token string) [hashSize]byte { return sha256.Sum256([]byte(token)) }

func (s *Server) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := hash(strings.TrimSpace(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], s.tokenHash[:]) == 1
}

// isLoopback reports whether a Host header names this machine in a way that no DNS server can have made up.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// contain keeps a panic to the request that it happened in, and a body that does not come to its time.
func (s *Server) contain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := &startedWriter{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			s.Logger.Error("admin request panicked", "remote", r.RemoteAddr, "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
			if started.yes {
				panic(http.ErrAbortHandler) // whoever reads must not take what is written for all
			}
			writeProblem(w, problem(http.StatusInternalServerError, "the request failed; see the server's log"))
		}()
		if r.ContentLength != 0 {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		next.ServeHTTP(started, r)
	})
}

// startedWriter knows whether an answer has begun.
type startedWriter struct {
	http.ResponseWriter
	yes bool
}

func (w *startedWriter) WriteHeader(status int) {
	w.yes = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *startedWriter) Write(b []byte) (int, error) {
	w.yes = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *startedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

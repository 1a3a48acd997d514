package admin

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin/page"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/named"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/httpserver"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/overview"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Commands is what the API does with commands; a [command.Dispatcher] is one. Their errors that are not named here are
// the store's: the call may have had its effect, and may be repeated.
type Commands interface {
	// Submit takes a command that is complete and valid. source is who sent it. If the id is known, created is false and
	// the entry is the one that is kept. It may fail with a [command.RefusedError].
	Submit(ctx context.Context, c command.Command, source string) (e command.Entry, created bool, err error)
	// Lookup may fail with [command.ErrUnknown].
	Lookup(ctx context.Context, id string) (command.Entry, error)
	// List returns a page of the commands that a valid query selects.
	List(ctx context.Context, q command.Query) (command.Page, error)
	// Cancel takes a queued command back, and returns it as it is then. It may fail with [command.ErrUnknown].
	Cancel(ctx context.Context, id string) (command.Entry, error)
	// Await returns the command when it has its final state, or with ctx's error as it is. e is how it was known last.
	Await(ctx context.Context, e command.Entry) (command.Entry, error)
}

// Overview is the service at a glance.
type Overview interface {
	Status() *overview.Status
}

// Options are what the API is made of.
type Options struct {
	Commands    Commands
	Devices     Devices
	Strangers   Strangers              // nil: nobody knocks
	Service     func() verdict.Service // what verdicts rest on; nil: nothing is wrong with it
	Overview    Overview
	Shedding    Shedding
	Records     Records     // nil if the engine cannot
	DeadLetters DeadLetters // nil if the engine cannot
	Dictionary  func() *meaning.Dictionary
	Names       func() *named.Table // of commands; nil: the embedded ones
	Tap         *tap.Hub
	Instance    string // INSTANCE_ID
	Token       string // if it is empty no token is needed: listen on a loopback address only
	Logger      *slog.Logger

	MaxConnections int // at once, up to the constant of that name, which is what 0 stands for

	NotHTTP func(remote net.Addr, first []byte) // may be nil; see httpserver.Options
}

// MaxConnections is the most connections that the API has at once.
const MaxConnections = 512

// What is bounded.
const (
	maxWaiting   = 256      // requests that wait for a result
	maxListings  = 4        // answers that read much: all devices, each of a few hundred bytes, records, lists
	maxBody      = 64 << 10 // bytes
	bodyTimeout  = 10 * time.Second
	storeTimeout = 10 * time.Second
)

// Server answers over HTTP.
type Server struct {
	Options
	http            *httpserver.Server
	unauthenticated *limit.Table[limit.Bucket] // by address: requests that the token does not allow
	waiting         chan struct{}              // one for each that waits
	listing         chan struct{}
	explaining      chan struct{}   // one for the tap that explains a packet
	closing         context.Context // ends at Close
	endWaits        context.CancelFunc
	tokenHash       [hashSize]byte
}

// NewServer returns a server that listens to nobody yet.
func NewServer(o Options) *Server {
	s := &Server{
		Options: o, waiting: make(chan struct{}, maxWaiting), listing: make(chan struct{}, maxListings),
		explaining:      make(chan struct{}, 1),
		tokenHash:       hash(o.Token),
		unauthenticated: limit.NewTable[limit.Bucket](unauthenticatedCells),
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = MaxConnections
	}
	s.closing, s.endWaits = context.WithCancel(context.Background())
	s.http = httpserver.New(httpserver.Options{
		Handler: s.contain(s.authorize(s.routes())), MaxConnections: o.MaxConnections, NotHTTP: o.NotHTTP,
		Logger:       o.Logger,
		WriteTimeout: MaxWait + 30*time.Second, // no ReadTimeout: it would end requests that wait
	})
	return s
}

// paths are those of the API, with what may be done with each. The document in package api has the same ones.
func (s *Server) paths() map[string]methods {
	return map[string]methods{
		"/v1/devices":                      {http.MethodGet: s.listDevices},
		"/v1/devices/{imei}":               {http.MethodGet: s.showDevice},
		"/v1/devices/{imei}/commands":      {http.MethodGet: s.listCommands, http.MethodPost: s.submit},
		"/v1/devices/{imei}/commands/{id}": {http.MethodGet: s.follow, http.MethodDelete: s.cancel},
		"/v1/devices/{imei}/records":       {http.MethodGet: s.lastRecords},
		"/v1/problems":                     {http.MethodGet: s.listProblems},
		"/v1/strangers":                    {http.MethodGet: s.listStrangers},
		"/v1/deadletters":                  {http.MethodGet: s.onDeadLetters(s.listDeadLetters)},
		"/v1/deadletters/{ref}": {
			http.MethodGet: s.onDeadLetters(s.showDeadLetter), http.MethodDelete: s.onDeadLetters(s.deleteDeadLetter),
		},
		"/v1/deadletters/{ref}/replay": {http.MethodPost: s.onDeadLetters(s.replayDeadLetter)},
		"/v1/commands":                 {http.MethodGet: s.listCommands},
		"/v1/commands/{id}":            {http.MethodGet: s.follow, http.MethodDelete: s.cancel},
		"/v1/names":                    {http.MethodGet: s.listNames},
		shedPath:                       {http.MethodGet: s.showShed, http.MethodPost: s.beginShed},
		"/v1/status":                   {http.MethodGet: s.status},
		"/v1/tap":                      {http.MethodGet: s.tap},
		openAPIPath:                    {http.MethodGet: showOpenAPI},
	}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for path, may := range s.paths() {
		mux.Handle(path, may)
	}
	shown := page.New(page.Options{ReadOnly: s.Token == ""})
	mux.Handle("/{$}", shown)
	mux.Handle(page.Prefix, shown)
	mux.Handle("/", handler(func(http.ResponseWriter, *http.Request) error {
		return problem(http.StatusNotFound, "no such path; the API's begin with /v1/")
	}))
	return mux
}

// methods are what may be done with a path.
type methods map[string]handler

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := m[r.Method]
	if !ok {
		allowed := strings.Join(slices.Sorted(maps.Keys(m)), ", ")
		w.Header().Set("Allow", allowed)
		writeProblem(w, problem(http.StatusMethodNotAllowed, "use %s", allowed))
		return
	}
	h.ServeHTTP(w, r)
}

// Serve answers until Close.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Close lets the requests that wait for results go with what is known, finishes those at hand, or gives them up when
// ctx ends.
func (s *Server) Close(ctx context.Context) {
	s.endWaits()
	s.http.Close(ctx)
}

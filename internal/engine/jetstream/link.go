package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

// How the connection is kept. A server that does not answer some pings is left for another one. A write that a server
// does not take blocks all lanes, so it is given up sooner.
const (
	connectTimeout = 2 * time.Second
	reconnectPause = 50 * time.Millisecond // doubled up to reconnectMost, and up to half as much more
	reconnectMost  = 500 * time.Millisecond
	blip           = 500 * time.Millisecond // how long a lost connection is waited for
	pingEvery      = time.Second
	pingsMissed    = 3
	writeTimeout   = 2 * time.Second
	failureEvery   = time.Minute // a failure that goes on is logged again
	writeBuffer    = 256 << 10
)

// link is the one connection of all lanes, to whichever of the servers works.
type link struct {
	servers string // the addresses, without credentials
	log     *slog.Logger
	dialled chan struct{} // closed once conn and failed are set
	conn    *nats.Conn
	failed  error // the library takes the settings for impossible

	mu      sync.Mutex
	changed chan struct{}   // closed and replaced when there is a connection again
	live    context.Context // ends when the connection is lost
	end     context.CancelCauseFunc
	health  health.Health
	latest  error // why there is no connection

	forbidden   error // the latest thing that this user may not do; the question for it has no other answer
	forbiddenAt time.Time
	reportAt    time.Time // when a report was logged last
}

// dial connects in the background.
func dial(o *Options, logger *slog.Logger) (*link, error) {
	servers, err := addresses(o.URL)
	if err != nil {
		return nil, err
	}
	l := &link{
		servers: servers, log: logger.With("address", servers), dialled: make(chan struct{}),
		changed: make(chan struct{}), health: health.Health{Every: failureEvery},
		latest: errors.New("not connected yet"),
	}
	l.live, l.end = context.WithCancelCause(context.Background())
	options := l.options(o)
	go func() {
		defer close(l.dialled)
		l.conn, l.failed = nats.Connect(o.URL, options...)
	}()
	return l, nil
}

// addresses are the hosts and ports of a list of URLs.
func addresses(list string) (string, error) {
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			return "", errors.New("not a list of URLs such as nats://host:4222,nats://other:4222")
		}
		all = append(all, u.Host)
	}
	return strings.Join(all, ","), nil
}

func (l *link) options(o *Options) []nats.Option {
	options := []nats.Option{
		nats.Name(o.ClientName), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		// What is written while there is no connection fails: the lane decides what is written again.
		nats.ReconnectBufSize(-1), nats.ReconnectOnFlusherError(), nats.IgnoreAuthErrorAbort(),
		nats.Timeout(connectTimeout), nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsMissed),
		nats.FlusherTimeout(writeTimeout), nats.WriteBufferSize(writeBuffer),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.ConnectHandler(func(*nats.Conn) { l.up() }), nats.ReconnectHandler(func(*nats.Conn) { l.up() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.down(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.down(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.reported(err, time.Now()) }),
	}
	if o.Creds != "" {
		options = append(options, nats.UserCredentials(o.Creds))
	}
	if o.CAFile != "" {
		options = append(options, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		options = append(options, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	return options
}

// reconnectDelay is the pause after so many rounds of attempts at all servers. It differs from instance to instance.
func reconnectDelay(rounds int) time.Duration {
	pause := min(reconnectPause<<min(max(0, rounds-1), 10), reconnectMost)
	return pause + rand.N(pause/2)
}

func (l *link) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ended := l.health.Worked(); ended != nil {
		l.log.Info("nats connection works again", "after", ended.Lasted())
	}
	l.live, l.end = context.WithCancelCause(context.Background())
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) down(err error) {
	if err == nil {
		return // closed by us
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = err
	l.end(errLost)
	if _, due := l.health.Failed(err); due {
		l.log.Warn("nats connection failed", "error", err)
	}
}

// reportEvery is how often a report of the connection is logged: there is one for each message that is refused.
const reportEvery = time.Second

// reported takes what the server says of its own accord.
func (l *link) reported(err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, nats.ErrPermissionViolation) {
		l.forbidden, l.forbiddenAt = err, now
	}
	if now.Sub(l.reportAt) >= reportEvery {
		l.reportAt = now
		l.log.Warn("nats connection reports an error", "error", err)
	}
}

// refusal is why a question that was asked just now has no answer, nil if that is not known.
func (l *link) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.forbiddenAt) > storePatience+time.Second {
		return nil
	}
	return l.forbidden
}

// await waits for a connection, but not long: it is there soon or fails.
func (l *link) await(ctx context.Context) (*nats.Conn, error) {
	patience := connectTimeout
	if l.health.Failure() != nil {
		patience = blip
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-l.dialled:
	case <-ctx.Done():
		return nil, l.unreachable()
	}
	if l.failed != nil {
		return nil, &engine.Error{Err: fmt.Errorf("nats at %s: %w", l.servers, l.failed)}
	}
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if l.conn.IsConnected() {
			return l.conn, oldServer(l.conn.ConnectedServerVersion())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, l.unreachable()
		}
	}
}

var errLost = errors.New("the connection was lost before the answer came")

// during is ctx for a question: it ends when the answer is overdue, and when the connection is lost.
func (l *link) during(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	l.mu.Lock()
	live := l.live
	l.mu.Unlock()
	ctx, lost := context.WithCancelCause(ctx)
	stop := context.AfterFunc(live, func() { lost(errLost) })
	ctx, cancel := context.WithTimeout(ctx, patience)
	return ctx, func() { stop(); cancel(); lost(nil) }
}

// ask sends a message and waits for its answer.
func (l *link) ask(ctx context.Context, m *nats.Msg, patience time.Duration) (*nats.Msg, error) {
	ctx, cancel := l.during(ctx, patience)
	defer cancel()
	answer, err := l.conn.RequestMsgWithContext(ctx, m)
	return answer, explained(ctx, err)
}

// explained is the error of a call with a context of during.
func explained(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) == errLost {
		return errLost
	}
	return err
}

// unreachable says why there is no connection.
func (l *link) unreachable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &engine.Error{Transient: true, Err: fmt.Errorf("nats at %s: %w", l.servers, l.latest)}
}

// oldServer refuses servers that take the messages of an atomic batch one by one.
func oldServer(version string) error {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	first, _ := strconv.Atoi(major)
	second, _ := strconv.Atoi(minor)
	if first > 2 || first == 2 && second >= 12 {
		return nil
	}
	return &engine.Error{Err: fmt.Errorf(
		"nats-server %s has no atomic batches: upgrade all servers to 2.12 or later", version)}
}

func (l *link) close() {
	<-l.dialled // which takes no longer than the servers may take to answer
	if l.conn != nil {
		l.conn.Close()
	}
}

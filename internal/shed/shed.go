// Package shed has devices leave this instance one by one, each between two frames, so that they come back elsewhere:
// all of them when it stops, a part of them when somebody asks for that or there are more than it is to have.
package shed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"

	"github.com/prometheus/client_golang/prometheus"
)

// Cause is why devices are shed. It is a metric's label, so the set is closed.
type Cause string

// All causes.
const (
	ByRequest   Cause = "request"   // somebody asked for it
	ByThreshold Cause = "threshold" // there were more than Options.Above
)

// Stay is how long a device that has connected is left alone: one that comes straight back is not shed again at once.
const Stay = time.Minute

// Over is how long shedding takes if nothing else is said.
const Over = 10 * time.Second

// Errors of Begin.
var (
	ErrBusy    = errors.New("connections are being shed already")
	ErrStopped = errors.New("the service is stopping, which sheds all connections")
)

// Options are the settings of a Shedder. All fields are needed, but Over and Above.
type Options struct {
	Devices Devices
	Over    time.Duration         // in place of the constant
	Above   int                   // connections of devices that Watch leaves; 0 = any number
	Metrics prometheus.Registerer // which adds the prefix that names the protocol
	Logger  *slog.Logger
}

// Shedder sheds a part of the devices, one part at a time.
type Shedder struct {
	Options
	auditLog *slog.Logger
	shed     *prometheus.CounterVec
	running  sync.WaitGroup
	stopping context.Context
	stop     context.CancelFunc

	mu   sync.Mutex
	last Status // all but Connections and Above
}

// New returns a Shedder that does nothing by itself.
func New(o Options) *Shedder {
	if o.Over == 0 {
		o.Over = Over
	}
	s := &Shedder{Options: o, auditLog: logging.Audit(o.Logger), shed: metric.For(o.Metrics).Counters(
		"connections_shed_total", "Device connections that were asked to move to another instance, by cause: request "+
			"(POST /v1/shed) or threshold (SHED_ABOVE).", "cause")}
	for _, cause := range []Cause{ByRequest, ByThreshold} {
		s.shed.WithLabelValues(string(cause)) // an increase is not seen in a series that begins with it
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Part is how much is to be shed: a part of the devices that are connected, or a number.
type Part struct {
	Percent     int // 1 to 100; 0 = Connections counts
	Connections int
	Over        time.Duration // 0 = the Shedder's
}

// of is how many that are of so many connections. What begins with a percent is one at least.
func (p Part) of(connections int) int {
	if p.Percent > 0 {
		return (connections*p.Percent + 99) / 100
	}
	return min(p.Connections, connections)
}

// Status is what is being shed, or was last.
type Status struct {
	Running     bool  `json:"running"`
	Cause       Cause `json:"cause,omitempty"` // empty if nothing has been shed yet
	Closing     int   `json:"closing"`         // connections that are to end
	Asked       int   `json:"asked"`           // of these, those that have had their turn
	OverMS      int64 `json:"over_ms"`         // how long it takes
	Connections int   `json:"connections"`     // of devices, as they are now
	Above       int   `json:"above"`           // SHED_ABOVE; 0 is off
}

// Begin begins to shed a part of the devices, and returns what is being done. Those that have been connected for less
// than Stay, and those that a command is in hand for, are left alone. by is who asks, for the audit log.
func (s *Shedder) Begin(p Part, cause Cause, by string) (Status, error) {
	connected := slices.Collect(s.Devices.Connections())
	n := p.of(len(connected))
	settled := slices.DeleteFunc(connected, func(c command.Connection) bool { return time.Since(c.Since) < Stay })
	pace := pace{min(n, len(settled)), p.Over}
	if pace.over == 0 {
		pace.over = s.Over
	}
	s.mu.Lock()
	switch {
	case s.stopping.Err() != nil:
		s.mu.Unlock()
		return Status{}, ErrStopped
	case s.last.Running:
		s.mu.Unlock()
		return Status{}, ErrBusy
	}
	s.last = Status{Running: true, Cause: cause, Closing: pace.n, OverMS: pace.over.Milliseconds()}
	s.running.Add(1)
	s.mu.Unlock()
	s.auditLog.Info("shedding connections", "cause", string(cause), "connections", pace.n, "over", pace.over, "by", by)
	go s.run(settled, pace, cause)
	return s.Status(), nil
}

func (s *Shedder) run(of []command.Connection, p pace, cause Cause) {
	defer s.running.Done()
	defer logging.ExitOnPanic(s.Logger)
	spread(s.stopping, s.Devices, of, p, func() {
		s.shed.WithLabelValues(string(cause)).Inc()
		s.mu.Lock()
		s.last.Asked++
		s.mu.Unlock()
	})
	s.mu.Lock()
	s.last.Running = false
	asked := s.last.Asked
	s.mu.Unlock()
	s.Logger.Info("connections shed", "cause", string(cause), "connections", asked)
}

// Status returns what is being shed, or was last.
func (s *Shedder) Status() Status {
	connections := s.connected()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.last
	now.Connections, now.Above = connections, s.Above
	return now
}

func (s *Shedder) connected() (n int) {
	for range s.Devices.Connections() {
		n++
	}
	return n
}

// Close ends what is being shed, and has nothing begin any more.
func (s *Shedder) Close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.running.Wait()
}

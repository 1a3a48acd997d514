package teltonikasession

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestMain(m *testing.M) {
	if serveIdle() || floodAway() {
		return
	}
	goleak.VerifyTestMain(m)
}

// The settings of the tests' service are the defaults of the real one.
const (
	instance         = "test-1"
	handshakeTimeout = 30 * time.Second
	idleTimeout      = 30 * time.Minute
	writeTimeout     = 10 * time.Second
	publishTimeout   = 20 * time.Second
	queueCapacity    = 1000 // records
	maxFrameBytes    = 65536
)

// service is everything between a device's socket and an engine in memory.
type service struct {
	testing.TB
	engine    *testkit.Engine
	registry  *prometheus.Registry
	publisher *publish.Publisher
	adapter   *Adapter
	server    *ingest.Server
	listener  *ingesttest.Listener
	log       *testkit.Log
	stop      func()

	// storesInPart says that the engine stores part of a frame that is refused, and so has more records than
	// are published.
	storesInPart bool
}

// serve runs a test against a service in virtual time. Afterwards the service is stopped and the ledger must
// balance.
func serve(t *testing.T, test func(*service), change ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, change...)
		test(s)
		s.stop()
		s.checkLedger()
	})
}

func newService(tb testing.TB, change ...func(*Options)) *service {
	return newServiceOf(tb, queueCapacity, change...)
}

func newServiceOf(tb testing.TB, capacity int, change ...func(*Options)) *service {
	s := &service{TB: tb, engine: testkit.NewEngine(2), registry: prometheus.NewRegistry(),
		listener: ingesttest.NewListener(), log: new(testkit.Log)}
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	s.publisher = publish.New(publish.Options{
		Engine: s.engine, Capacity: capacity, LargestFrame: teltonika.MaxRecords, Timeout: publishTimeout,
		Metrics: publish.NewMetrics(prometheus.WrapRegistererWithPrefix("teltonika_", s.registry)), Logger: logger,
	})
	o := Options{
		Publisher: s.publisher, Authority: known(imei), HandshakeTimeout: handshakeTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: writeTimeout, MaxFrameBytes: maxFrameBytes, Metrics: NewMetrics(s.registry), Logger: logger,
	}
	for _, c := range change {
		c(&o)
	}
	s.adapter = New(o)
	s.server = ingest.New(ingest.Options{
		Adapter: s.adapter, MaxConnections: 1000,
		Metrics: ingest.NewMetrics(prometheus.WrapRegistererWithPrefix("teltonika_", s.registry)), Logger: logger,
	})
	s.server.Serve(s.listener, nil)
	s.stop = sync.OnceFunc(s.shutDown)
	tb.Cleanup(s.stop)
	return s
}

// shutDown stops the parts in the order in which the real service does.
func (s *service) shutDown() {
	s.engine.Release()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.server.Drain(ctx); err != nil {
		s.Errorf("drain: %v", err)
	}
	if err := s.publisher.Drain(ctx); err != nil {
		s.Errorf("drain the publisher: %v", err)
	}
	s.publisher.Close()
	s.server.Close(ctx)
	if n := s.total("teltonika_connections_active"); n != 0 {
		s.Errorf("%v connections are active after the end", n)
	}
}

// checkLedger compares the two sides of the books, for each transport.
func (s *service) checkLedger() {
	s.Helper()
	for _, transport := range []string{transportTCP, transportTLS, transportUDP} {
		by := "transport=" + transport
		received := s.total("teltonika_records_received_total", by)
		published, duplicate := s.total("teltonika_records_published_total", by), s.total("teltonika_records_duplicate_total",
			by)
		dead, refused := s.total("teltonika_records_dead_lettered_total", by), s.total("teltonika_records_refused_total", by)
		if received != published+duplicate+dead+refused {
			s.Errorf("%s: %v records received, but %v published + %v duplicate + %v dead-lettered + %v refused",
				by, received, published, duplicate, dead, refused)
		}
	}
	s.checkMessages()
	published, late := s.total("teltonika_records_published_total"), s.total("teltonika_records_stored_late_total")
	if stored := float64(len(s.engine.Records())); stored != published+late && !s.storesInPart {
		s.Errorf("%v records in the engine, but %v published + %v stored late", stored, published, late)
	}
	if s.publisher.Queued() != 0 {
		s.Errorf("%d records still queued", s.publisher.Queued())
	}
}

// checkMessages compares the two sides of the books of messages.
func (s *service) checkMessages() {
	s.Helper()
	for _, transport := range []string{transportTCP, transportTLS, transportUDP} {
		by := "transport=" + transport
		received, stored := s.total("teltonika_messages_received_total", by), s.total("teltonika_messages_stored_total", by)
		answers, dead := s.total("teltonika_messages_answers_total", by), s.total("teltonika_messages_dead_lettered_total",
			by)
		if refused := s.total("teltonika_messages_refused_total", by); received != stored+answers+dead+refused {
			s.Errorf("%s: %v messages received, but %v stored + %v answers + %v dead-lettered + %v refused",
				by, received, stored, answers, dead, refused)
		}
	}
	if stored := s.total("teltonika_messages_stored_total"); !s.storesInPart &&
		float64(len(s.engine.Messages())) < stored {
		s.Errorf("%d messages in the engine, %v counted as stored", len(s.engine.Messages()), stored)
	}
}

// total adds up a metric over those of its label sets that have all the given values ("label=value").
func (s *service) total(name string, labels ...string) float64 {
	s.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, l.GetName()+"="+l.GetValue())
			}
			if containsAll(has, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func containsAll(has, wanted []string) bool {
	for _, w := range wanted {
		if !strings.Contains(" "+strings.Join(has, " ")+" ", " "+w+" ") {
			return false
		}
	}
	return true
}

// expectMetric compares a metric's total.
func (s *service) expectMetric(want float64, name string, labels ...string) {
	s.Helper()
	if got := s.total(name, labels...); got != want {
		s.Errorf("%s%v is %v, want %v", name, labels, got, want)
	}
}

// expectStored compares how many records and dead letters the engine has.
func (s *service) expectStored(records, deadLetters int) {
	s.Helper()
	if n := len(s.engine.Records()); n != records {
		s.Errorf("%d records stored, want %d", n, records)
	}
	if n := len(s.engine.DeadLetters()); n != deadLetters {
		s.Errorf("%d dead letters stored, want %d", n, deadLetters)
	}
}

// expectReason checks that one connection has ended, for that reason.
func (s *service) expectReason(reason ingest.CloseReason) {
	s.Helper()
	s.expectMetric(1, "teltonika_connections_closed_total")
	s.expectMetric(1, "teltonika_connections_closed_total", "reason="+string(reason))
}

// known is an authority that knows one device.
type known string

func (k known) Known(imei string) bool { return imei == string(k) }

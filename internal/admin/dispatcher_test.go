package admin

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// tracker is a connected device that answers every command, unless it is silent.
type tracker struct {
	dispatcher *command.Dispatcher
	imei       string
	silent     bool
}

func (*tracker) TakenOver() {}

func (*tracker) Dismiss() bool { return false }

func (l *tracker) Send(_ context.Context, frame []byte, _ *condition.Condition) (time.Time, error) {
	if l.silent {
		return time.Now(), nil
	}
	var in teltonika.Messages
	err := in.Decode(teltonika.Frame(frame).Body())
	if err != nil {
		return time.Time{}, err
	}
	written := time.Now()
	go l.dispatcher.Message(&command.Message{
		IMEI: l.imei, Codec: in.Codec, Type: teltonika.TypeResponse, Named: in.Messages[0].IMEI,
		Payload: append([]byte("answer to "), in.Messages[0].Payload...), Received: time.Now(),
	}, true)
	return written, nil
}

// startDispatcher runs the API before a real dispatcher with a real store.
func startDispatcher(t *testing.T) (*command.Dispatcher, *Client) {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := sqlitestore.New(sqlitestore.Options{Dir: t.TempDir(), Instance: "one", Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	dispatcher := command.NewDispatcher(command.Options{
		Store: store, Policy: command.DefaultPolicy(), Metrics: command.NewMetrics(prometheus.NewRegistry()), Logger: logger,
		Timeouts: command.Timeouts{Send: time.Second, Quarantine: time.Second, Gap: time.Millisecond},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); dispatcher.Run(ctx) }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(Options{Commands: dispatcher, Devices: fleet{}, Logger: logger})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close(context.Background())
		cancel()
		<-ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return dispatcher, clientOf(t, l.Addr().String(), "")
}

func TestWithDispatcher(t *testing.T) {
	dispatcher, c := startDispatcher(t)
	wait := new(int64(20_000))
	dispatcher.Connected(present, 1, &tracker{dispatcher: dispatcher, imei: present})
	for _, codec := range []int{12, 14} {
		e, err := c.Submit(t.Context(), present, &Request{Command: new("getver"), Codec: &codec, WaitMS: wait})
		if err != nil || e.State != command.Answered || *e.Response != "answer to getver" || e.Attempts != 1 ||
			e.Instance != "one" ||
			e.FinishedAt.Before(e.SentAt.Time) || e.SentAt.Before(e.CreatedAt.Time) {
			t.Fatalf("codec %d: %+v, %v", codec, e, err)
		}
		again, err := c.Submit(t.Context(), present, &Request{ID: &e.ID, Command: new("getver"), WaitMS: wait})
		if err != nil || again.SentAt != e.SentAt || again.FinishedAt != e.FinishedAt {
			t.Errorf("again %+v, %v", again, err)
		}
	}
	if _, err := c.Submit(t.Context(), present, &Request{Command: new("defaultcfg"), WaitMS: wait}); err == nil ||
		err.(*Problem).Status != 428 {
		t.Errorf("%v", err)
	}
}

func TestWithDispatcherAndNoDevice(t *testing.T) {
	dispatcher, c := startDispatcher(t)
	e, err := c.Submit(t.Context(), absent, &Request{Command: new("getver"), WaitMS: new(int64(0))})
	if err != nil || e.State != command.Queued {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, err = c.Cancel(t.Context(), absent, e.ID); err != nil || e.State != command.Cancelled || e.FinishedAt.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err = c.Cancel(t.Context(), absent, e.ID); err != nil || e.State != command.Cancelled {
		t.Errorf("cancelled twice: %+v, %v", e, err)
	}
	e, err = c.Submit(t.Context(), absent,
		&Request{Command: new("getver"), ExpiresInMS: new(int64(1)), WaitMS: new(int64(20_000))})
	if err != nil || e.State != command.Expired || e.Attempts != 0 {
		t.Errorf("%+v, %v", e, err)
	}
	dispatcher.Connected(absent, 2, &tracker{dispatcher: dispatcher, imei: absent, silent: true})
	e, err = c.Submit(t.Context(), absent,
		&Request{Command: new("getver"), TimeoutMS: new(int64(100)), WaitMS: new(int64(20_000))})
	if err != nil || e.State != command.TimedOut || e.Attempts != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

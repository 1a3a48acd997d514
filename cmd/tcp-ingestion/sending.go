package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
)

// sending is a command on its way: it is submitted, followed, and taken back at the first signal. What is accepted is
// live whoever waits for it, so nobody leaves without having been told its id.
type sending struct {
	client      *admin.Client
	told        io.Writer // standard error
	imei        string
	request     *admin.Request
	wait        time.Duration // for the result
	signals     chan os.Signal
	interrupted bool // a signal has come
}

func newSending(cmd *cli.Command, client *admin.Client, text string) *sending {
	s := &sending{client: client, told: cmd.Root().ErrWriter, imei: cmd.Args().First(), signals: make(chan os.Signal, 2)}
	s.request, s.wait = sendRequest(cmd, text)
	signal.Notify(s.signals, syscall.SIGINT, syscall.SIGTERM)
	return s
}

func (s *sending) end() { signal.Stop(s.signals) }

// run returns the command as it is after the wait, or when it has ended.
func (s *sending) run(ctx context.Context) (admin.Entry, error) {
	e, err := s.ask(ctx, func(context.Context) (admin.Entry, error) { return s.client.Submit(ctx, s.imei, s.request) })
	accepted := e
	if err == nil && !s.interrupted && !e.State.Final() {
		s.tell(&e)
		e, err = s.ask(ctx, func(untilSignal context.Context) (admin.Entry, error) {
			return s.client.Await(untilSignal, accepted, s.wait)
		})
	}
	switch {
	case errors.Is(err, errLeft):
		return e, s.left()
	case s.interrupted && (err == nil || errors.Is(err, context.Canceled)) && !e.State.Final():
		return s.takeBack(ctx)
	case err != nil && accepted.ID != "":
		return e, s.alive(askFailed(s.client, err).Error(), exitNoServer)
	case err != nil:
		return e, sendFailed(s.client, err, *s.request.ID)
	}
	return e, nil
}

// tell says at once that the device is not there, before it is waited for.
func (s *sending) tell(e *admin.Entry) {
	if e.WaitsFor == admin.WaitsForDevice {
		fmt.Fprintf(s.told, "tcp-ingestion: %s is not connected; command %s is queued: %s\n", e.IMEI, e.ID, queuedUntil(e))
	}
}

// errLeft is the end of whoever does not wait for an answer any more.
var errLeft = errors.New("interrupted twice")

// ask waits for the server's answer. The first signal ends untilSignal, the second one the waiting.
func (s *sending) ask(
	ctx context.Context, call func(untilSignal context.Context) (admin.Entry, error),
) (e admin.Entry, err error) {
	untilSignal, stop := context.WithCancel(ctx)
	defer stop()
	answered := make(chan struct{})
	var answer admin.Entry
	var failed error
	go func() {
		defer close(answered)
		answer, failed = call(untilSignal)
	}()
	for {
		select {
		case <-answered:
			return answer, failed
		case <-s.signals:
			if s.interrupted {
				return e, errLeft
			}
			s.interrupted = true
			fmt.Fprintf(s.told, "tcp-ingestion: taking command %s back; a second Ctrl-C ends at once\n", *s.request.ID)
			stop()
		}
	}
}

// takeBack cancels the command, and returns it as it is then.
func (s *sending) takeBack(ctx context.Context) (admin.Entry, error) {
	id := *s.request.ID
	e, err := s.ask(ctx, func(context.Context) (admin.Entry, error) { return s.client.Cancel(ctx, s.imei, id) })
	var p *admin.Problem
	switch {
	case err == nil:
		return e, nil
	case errors.Is(err, errLeft):
		return e, s.left()
	case errors.As(err, &p) && p.Entry != nil:
		fmt.Fprintf(s.told, "tcp-ingestion: command %s is not queued any more, so it was not taken back\n", id)
		return *p.Entry, nil
	}
	return e, s.alive(askFailed(s.client, err).Error(), exitNoServer)
}

// left is the error of whoever was interrupted twice.
func (s *sending) left() error { return s.alive("ended at once", exitNoResult) }

// alive says that the command may still be executed.
func (s *sending) alive(why string, code int) error {
	id := *s.request.ID
	return &refusal{&admin.Problem{ID: id}, fmt.Sprintf("%s; command %s was not taken back and may be executed: "+
		"tcp-ingestion commands cancel %s takes it back, commands show %s says what has become of it", why, id, id, id), code}
}

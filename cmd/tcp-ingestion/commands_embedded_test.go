package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// connect has a tracker log in and report, after which it gets commands at once.
func (s *server) connect(imei string) *testkit.Tracker {
	s.t.Helper()
	d := testkit.Dial(s.t, s.devices)
	d.MustLogin(imei)
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: uint64(time.Now().UnixMilli())})
	d.ExpectACK(1)
	return d
}

// client asks the server's API.
func (s *server) client() *admin.Client {
	s.t.Helper()
	c, err := admin.NewClient(s.admin, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// asks is a command that nobody waits for.
func asks(id, text string) *admin.Request {
	return &admin.Request{ID: &id, Command: &text, TimeoutMS: new(patience.Milliseconds()), WaitMS: new(int64(0))}
}

// order has the server take a command.
func (s *server) order(imei string, r *admin.Request) {
	s.t.Helper()
	if _, err := s.client().Submit(s.t.Context(), imei, r); err != nil {
		s.t.Fatalf("%s: %v", *r.ID, err)
	}
}

// result waits for a command's final state.
func (s *server) result(imei, id string, want command.State) admin.Entry {
	s.t.Helper()
	e, err := s.client().Command(s.t.Context(), imei, id, patience)
	if err != nil || e.State != want {
		s.t.Fatalf("%s is %s (%s), %v; want %s", id, e.State, e.Reason, err, want)
	}
	return e
}

// wantNothingMore sends the device a last command: had it to get another one, that would come before.
func (s *server) wantNothingMore(imei string, d *testkit.Tracker) {
	s.t.Helper()
	id := "last-" + imei
	s.order(imei, asks(id, "getparam 99"))
	d.Answer(d.ExpectCommand("getparam 99"), "Param ID:99 Val:0")
	s.result(imei, id, command.Answered)
}

// TestCommandIsAnswered asks over HTTP and from the command line.
func TestCommandIsAnswered(t *testing.T) {
	t.Parallel()
	s := startServer(t, embeddedStore(t).settings)
	d := s.connect(first)

	type outcome struct {
		code        int
		out, errOut string
	}
	send := func(args ...string) <-chan outcome {
		ended := make(chan outcome, 1)
		go func() {
			code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "",
				append([]string{"send", first}, args...)...)
			ended <- outcome{code, out, errOut}
		}()
		return ended
	}
	sent := send("getver")
	d.Answer(d.ExpectCommand("getver"), "Ver:03.28.07_00 Hw:FMB130 Mod:42")
	if got := <-sent; got.code != 0 || got.out != "Ver:03.28.07_00 Hw:FMB130 Mod:42\n" {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}
	sent = send("getinfo", "--codec", "14")
	refused := d.ExpectCommand("getinfo")
	if refused.IMEI != first {
		t.Errorf("it names the device %q", refused.IMEI)
	}
	d.Nack(refused)
	if got := <-sent; got.code != exitNacked || !strings.Contains(got.errOut, "nacked") {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}

	s.order(first, asks("over-http", "getgps"))
	d.Answer(d.ExpectCommand("getgps"), "GPS:1")
	if e := s.result(first, "over-http", command.Answered); *e.Response != "GPS:1" || e.Attempts != 1 || e.Instance == "" {
		t.Errorf("%+v", e)
	}
	s.order(first, asks("over-http", "getgps")) // once more, as when the first request's answer was lost
	s.wantNothingMore(first, d)

	code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "devices")
	if code != 0 || !strings.Contains(out, first) || !strings.Contains(out, "FMB130") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	for state, want := range map[command.State]float64{command.Answered: 3, command.Nacked: 1} {
		s.wantMetric(fmt.Sprintf("teltonika_commands_total{state=%q}", state), want)
	}
}

// reborn kills the server and starts another one in its place.
func (s *server) reborn(settings map[string]string) *server {
	s.t.Helper()
	s.kill()
	return startServer(s.t, settings)
}

// TestKillBetweenSendAndAnswer kills the server while devices think about what they were asked.
func TestKillBetweenSendAndAnswer(t *testing.T) {
	t.Parallel()
	settings := maps.Clone(embeddedStore(t).settings)
	settings["COMMAND_QUARANTINE"] = "200ms"
	s := startServer(t, settings)
	again, unknown := asks("again", "getparam 3"), asks("unknown", "getparam 2")
	again.Idempotent = true
	unknown.TimeoutMS = new(int64(1500)) // long enough for the kill to come first
	for _, c := range []struct {
		imei string
		r    *admin.Request
	}{{first, asks("answered", "getparam 1")}, {third, again}, {second, unknown}} {
		d := s.connect(c.imei)
		if c.r == unknown {
			s.order(first, asks("behind", "getparam 4"))
		}
		s.order(c.imei, c.r)
		d.ExpectCommand(*c.r.Command)
	}

	s = s.reborn(settings)
	for _, id := range []string{"answered", "behind"} {
		if e, err := s.client().Command(t.Context(), first, id, 0); err != nil || e.State.Final() {
			t.Errorf("%s is %s after the crash, %v", id, e.State, err)
		}
	}
	one, two, three := s.connect(first), s.connect(second), s.connect(third)
	one.Answer(testkit.Command{Codec: teltonika.Codec12}, "Param ID:1 Val:5")
	one.Answer(one.ExpectCommand("getparam 4"), "Param ID:4 Val:6")
	three.Answer(three.ExpectCommand("getparam 3"), "Param ID:3 Val:7")
	if e := s.result(first, "answered", command.Answered); *e.Response != "Param ID:1 Val:5" || e.Attempts != 1 {
		t.Errorf("%+v", e)
	}
	if e := s.result(first, "behind", command.Answered); *e.Response != "Param ID:4 Val:6" || e.Attempts != 1 {
		t.Errorf("%+v", e)
	}
	if e := s.result(third, "again", command.Answered); *e.Response != "Param ID:3 Val:7" || e.Attempts != 2 {
		t.Errorf("%+v", e)
	}
	if e := s.result(second, "unknown", command.Failed); e.Reason != command.ReasonDeliveryUnknown {
		t.Errorf("%+v", e)
	}
	s.wantNothingMore(first, one)
	s.wantNothingMore(second, two)
	s.wantNothingMore(third, three)

	s = s.reborn(settings)
	for _, c := range []struct {
		imei, id string
		want     command.State
	}{{first, "answered", command.Answered}, {first, "behind", command.Answered}, {second, "unknown",
		command.Failed}, {third, "again", command.Answered}} {
		s.result(c.imei, c.id, c.want)
	}
}

// TestWaitingCommandsSurviveAKill has devices that come only after it.
func TestWaitingCommandsSurviveAKill(t *testing.T) {
	t.Parallel()
	settings := embeddedStore(t).settings
	s := startServer(t, settings)
	expires := asks("expires", "getparam 1")
	expires.ExpiresInMS = new(int64(300))
	s.order(first, expires)
	for i := range 3 {
		s.order(first, asks(fmt.Sprint("waits-", i), fmt.Sprint("getparam 1", i)))
	}
	s.order(second, asks("taken-back", "getparam 2"))
	if _, err := s.client().Cancel(context.Background(), second, "taken-back"); err != nil {
		t.Fatal(err)
	}

	s = s.reborn(settings)
	s.result(first, "expires", command.Expired)
	one, two := s.connect(first), s.connect(second)
	for i := range 3 {
		one.Answer(one.ExpectCommand(fmt.Sprint("getparam 1", i)), fmt.Sprint("Val:", i))
		if e := s.result(first, fmt.Sprint("waits-", i), command.Answered); *e.Response != fmt.Sprint("Val:", i) {
			t.Errorf("%+v", e)
		}
	}
	s.wantNothingMore(first, one)
	s.wantNothingMore(second, two)
	for imei, id := range map[string]string{first: "expires", second: "taken-back"} {
		if e, err := s.client().Command(t.Context(), imei, id, 0); err != nil || e.Attempts != 0 || !e.SentAt.IsZero() {
			t.Errorf("%s may have been sent: %+v, %v", id, e, err)
		}
	}
}

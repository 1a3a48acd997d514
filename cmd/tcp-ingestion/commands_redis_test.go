package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// platform is a program that knows the servers only by what is in their Redis.
type platform struct {
	t testing.TB
	*testkit.Redis
}

// startPlatform starts a Redis that keeps what it is given.
func startPlatform(t testing.TB) platform {
	return platform{t, testkit.StartRedis(t, "--appendonly", "yes")}
}

func (p platform) settings(instance string) map[string]string {
	return map[string]string{"REDIS_URL": p.URL(), "INSTANCE_ID": instance, "COMMAND_QUARANTINE": "500ms"}
}

func (p platform) start(instance string) *server { return startServer(p.t, p.settings(instance)) }

// order adds a command to a stream; further fields may follow.
func (p platform) order(stream, id, imei, text string, fields ...any) {
	p.t.Helper()
	p.Do(append([]any{"XADD", stream, "*", "id", id, "imei", imei, "payload", text}, fields...)...)
}

// wantRegistered waits until the registry says where the device is; "" is nowhere.
func (p platform) wantRegistered(imei, instance string) {
	p.t.Helper()
	testkit.EventuallyIn(p.t, imei+" is registered at "+instance, patience, func() bool {
		owner, _ := p.Do("HGET", "connections:registry", imei).(string)
		return owner == instance
	})
}

// someTimeLater waits until Redis' clock has gone on by more than instances are wrong about it on a busy machine: by
// that clock they decide which login of a device is the newer one.
func (p platform) someTimeLater() {
	p.t.Helper()
	now := func() time.Time {
		clock := p.Do("TIME").([]any)
		seconds, _ := strconv.ParseInt(clock[0].(string), 10, 64)
		micros, _ := strconv.ParseInt(clock[1].(string), 10, 64)
		return time.Unix(seconds, 1000*micros)
	}
	start := now()
	testkit.EventuallyIn(p.t, "some time has passed", patience, func() bool {
		return now().Sub(start) > 300*time.Millisecond
	})
}

// response is an entry of commands:responses, by field.
type response map[string]string

// responses are all results so far, by id.
func (p platform) responses() map[string][]response {
	p.t.Helper()
	all := make(map[string][]response)
	for _, entry := range p.Do("XRANGE", "commands:responses", "-", "+").([]any) {
		fields := entry.([]any)[1].([]any)
		r := make(response)
		for i := 0; i < len(fields); i += 2 {
			r[fields[i].(string)] = fields[i+1].(string)
		}
		all[r["id"]] = append(all[r["id"]], r)
	}
	return all
}

// response waits for a command's result.
func (p platform) response(id string, want command.State) response {
	p.t.Helper()
	var got response
	testkit.EventuallyIn(p.t, id+" has its result", patience, func() bool {
		if all := p.responses()[id]; len(all) > 0 {
			got = all[0]
		}
		return got != nil
	})
	if got["status"] != string(want) {
		p.t.Errorf("%s: %v, want %s", id, got, want)
	}
	return got
}

// wantOneEach fails unless exactly these commands have exactly one result each. The trackers' last commands are not
// counted.
func (p platform) wantOneEach(ids ...string) {
	p.t.Helper()
	all := p.responses()
	for _, id := range ids {
		if n := len(all[id]); n != 1 {
			p.t.Errorf("%s has %d results: %v", id, n, all[id])
		}
	}
	for id := range all {
		if !slices.Contains(ids, id) && !strings.HasPrefix(id, "last-") {
			p.t.Errorf("a result of %q: %v", id, all[id])
		}
	}
}

// answerTo is an answer on a connection on which the command did not come.
var answerTo = testkit.Command{Codec: teltonika.Codec12}

// TestOwnerKilledBetweenSendAndAnswer has the devices go on at the other instance, before the killed one starts again.
func TestOwnerKilledBetweenSendAndAnswer(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	a, b := p.start("a"), p.start("b")
	for i, imei := range []string{first, third, second} {
		d := a.connect(imei)
		p.wantRegistered(imei, "a")
		id, text := fmt.Sprint("sent-", i), fmt.Sprint("getparam ", i)
		switch imei {
		case first:
			p.order("commands:outbound:a", id, imei, text)
		case third:
			p.order("commands:inbox", id, imei, text, "idempotent", "true")
		case second:
			p.order("commands:outbound:a", "behind", first, "getparam 10")
			p.order("commands:inbox", id, imei, text, "timeout_ms", 1500) // long enough for the kill to come first
		}
		d.ExpectCommand(text)
	}

	a.kill()
	p.someTimeLater()
	one, two, three := b.connect(first), b.connect(second), b.connect(third)
	p.wantRegistered(first, "b")
	one.Answer(answerTo, "late, and elsewhere")
	if r := p.response("sent-0", command.Answered); r["response"] != "late, and elsewhere" || r["instance"] != "a" {
		t.Errorf("%v", r)
	}
	p.start("a")
	one.Answer(one.ExpectCommand("getparam 10"), "sent by b")
	three.Answer(three.ExpectCommand("getparam 1"), "sent again")
	if r := p.response("behind", command.Answered); r["response"] != "sent by b" || r["instance"] != "b" {
		t.Errorf("%v", r)
	}
	if r := p.response("sent-1", command.Answered); r["response"] != "sent again" || r["instance"] != "b" {
		t.Errorf("%v", r)
	}
	if r := p.response("sent-2", command.Failed); r["reason"] != command.ReasonDeliveryUnknown || r["instance"] != "a" ||
		r["sent_at"] == "" {
		t.Errorf("%v", r)
	}
	b.wantNothingMore(first, one)
	b.wantNothingMore(second, two)
	b.wantNothingMore(third, three)
	p.wantOneEach("sent-0", "sent-1", "sent-2", "behind")
}

// TestDeviceMovesWhileCommandsWait has it log in at the other instance while a command is in flight and others wait.
func TestDeviceMovesWhileCommandsWait(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	a, b := p.start("a"), p.start("b")
	d := a.connect(first)
	p.wantRegistered(first, "a")
	ids := []string{"c0", "c1", "c2", "c3"}
	for i, id := range ids {
		p.order("commands:outbound:a", id, first, fmt.Sprint("getparam ", i))
	}
	d.ExpectCommand("getparam 0")
	d.Close()
	p.someTimeLater()
	d = b.connect(first)
	d.Answer(answerTo, "answer 0")
	left := []string{"getparam 1", "getparam 2", "getparam 3"}
	for len(left) > 0 {
		c := d.ReadCommand()
		i := slices.Index(left, c.Text)
		if i < 0 {
			t.Fatalf("got %q again", c.Text)
		}
		left = slices.Delete(left, i, i+1)
		d.Answer(c, "answer "+strings.TrimPrefix(c.Text, "getparam "))
	}
	for i, id := range ids {
		if r := p.response(id, command.Answered); r["response"] != fmt.Sprint("answer ", i) {
			t.Errorf("%v", r)
		}
	}
	p.wantRegistered(first, "b")
	b.wantNothingMore(first, d)
	p.wantOneEach(ids...)
}

// TestEntriesOfForeigners come by every stream, for devices wherever they are, and with everything wrong.
func TestEntriesOfForeigners(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	p.order("commands:outbound:a", "before-a-was", first, "getparam 0")
	a, b := p.start("a"), p.start("b")
	p.order("commands:inbox", "expires", second, "getparam 1", "expires_at",
		time.Now().Add(300*time.Millisecond).UnixMilli())
	p.order("commands:inbox", "parked", first, "getparam 2")
	p.order("commands:inbox", "taken-back", first, "getparam 3")
	p.Do("XADD", "commands:inbox", "*", "id", "taken-back", "cancel", "true")
	p.order("commands:inbox", "malformed", "not an imei", "getparam 4")
	p.order("commands:inbox", "too-much", first, "deleterecords")
	p.response("taken-back", command.Cancelled)
	p.response("malformed", command.Failed)
	p.response("expires", command.Expired)

	one, two := b.connect(first), a.connect(second)
	for range 2 {
		c := one.ReadCommand()
		one.Answer(c, c.Text)
	}
	p.order("commands:inbox", "parked", first, "getparam 2") // the same id
	for id, text := range map[string]string{"before-a-was": "getparam 0", "parked": "getparam 2"} {
		if r := p.response(id, command.Answered); r["response"] != text {
			t.Errorf("%v", r)
		}
	}
	p.response("too-much", command.Failed)
	b.wantNothingMore(first, one)
	a.wantNothingMore(second, two)
	p.wantOneEach("before-a-was", "expires", "parked", "taken-back", "malformed", "too-much")
	for _, stream := range []string{"commands:inbox", "commands:outbound:a", "commands:outbound:b"} {
		testkit.Eventually(t, stream+" is empty", func() bool { return p.Do("XLEN", stream) == int64(0) })
	}
}

// TestRedisKilledBetweenSendAndAnswer has the answer come while it is away.
func TestRedisKilledBetweenSendAndAnswer(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	a, b := p.start("a"), p.start("b")
	d, elsewhere := a.connect(first), b.connect(second)
	p.wantRegistered(first, "a")
	p.wantRegistered(second, "b")
	p.order("commands:inbox", "sent", first, "getparam 1")
	p.order("commands:inbox", "gone", second, "getparam 2")
	d.ExpectCommand("getparam 1")
	elsewhere.ExpectCommand("getparam 2")
	p.order("commands:inbox", "behind", first, "getparam 3")
	p.order("commands:inbox", "nobody", third, "getparam 4")
	p.someTimeLater()
	p.Kill()
	d.Answer(answerTo, "meanwhile")
	elsewhere.Close()
	moved := testkit.Dial(t, a.devices)
	moved.MustLogin(second)
	moved.Answer(answerTo, "meanwhile, and elsewhere")
	p.Restart()
	if r := p.response("sent", command.Answered); r["response"] != "meanwhile" {
		t.Errorf("%v", r)
	}
	if r := p.response("gone", command.Answered); r["response"] != "meanwhile, and elsewhere" {
		t.Errorf("%v", r)
	}
	d.Answer(d.ExpectCommand("getparam 3"), "afterwards")
	p.response("behind", command.Answered)
	p.wantRegistered(second, "a")
	nobody := b.connect(third)
	nobody.Answer(nobody.ExpectCommand("getparam 4"), "afterwards")
	p.response("nobody", command.Answered)
	a.wantNothingMore(first, d)
	a.wantNothingMore(second, moved)
	p.wantOneEach("sent", "gone", "behind", "nobody")
}

// TestRegistry looks at what other programs read of it.
func TestRegistry(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	a, b := p.start("a"), p.start("b")
	wantBeats := func() {
		t.Helper()
		for _, instance := range []string{"a", "b"} {
			testkit.Eventually(t, "the heartbeat of "+instance, func() bool {
				ttl := p.Do("TTL", "instance:heartbeat:"+instance).(int64)
				return ttl > 30 && ttl <= 90
			})
		}
	}
	wantBeats()
	one, two, older := a.connect(first), b.connect(second), a.connect(third)
	p.someTimeLater()
	newer := b.connect(third)
	p.wantRegistered(first, "a")
	p.wantRegistered(second, "b")
	p.wantRegistered(third, "b")
	older.Close()
	one.Close()
	p.wantRegistered(first, "")
	p.wantRegistered(third, "b")

	p.Do("FLUSHALL")
	wantBeats()
	p.wantRegistered(second, "b")
	p.wantRegistered(third, "b")
	if n := p.Do("HLEN", "connections:registry"); n != int64(2) {
		t.Errorf("%v devices are registered", n)
	}
	b.wantNothingMore(second, two)
	b.wantNothingMore(third, newer)

	b.kill()
	b = p.start("b")
	p.wantRegistered(second, "")
	p.wantRegistered(third, "")
	b.connect(second)
	p.wantRegistered(second, "b")
	if code := b.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.wantRegistered(second, "")
	if n := p.Do("EXISTS", "instance:heartbeat:b"); n != int64(0) {
		t.Error("the heartbeat outlives an orderly end")
	}
}

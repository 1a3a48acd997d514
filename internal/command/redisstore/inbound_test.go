package redisstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const entryID = "1795345200000-7"

var entryAt = time.UnixMilli(1795345200000).UTC()

func parse(pairs ...string) inbound {
	values := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return parseInbound(redis.XMessage{ID: entryID, Values: values})
}

func TestEntrySaysOnlyWhatItMust(t *testing.T) {
	in := parse("imei", deviceA, "payload", "getinfo")
	want := command.Command{ID: entryID, IMEI: deviceA, Codec: 12, Payload: []byte("getinfo"),
		Timeout: command.DefaultTimeout,
		Created: entryAt, Expires: entryAt.Add(command.DefaultExpiry)}
	if in.err != nil || in.cancel {
		t.Fatalf("%+v", in)
	}
	if got := in.Command; string(got.Payload) != "getinfo" || got.ID != want.ID || got.IMEI != want.IMEI ||
		got.Codec != want.Codec ||
		got.Timeout != want.Timeout || !got.Created.Equal(want.Created) || !got.Expires.Equal(want.Expires) ||
		got.Idempotent || got.Confirm {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEntryWithEverything(t *testing.T) {
	in := parse("id", "x", "imei", deviceA, "codec", "14", "payload", "0001ff", "encoding", "hex", "timeout_ms", "5000",
		"expires_at", "1795345260000", "idempotent", "yes", "confirm", "1", "colour", "blue")
	if in.err != nil || in.ID != "x" || in.Codec != teltonika.Codec14 || string(in.Payload) != "\x00\x01\xff" ||
		in.Timeout != 5*time.Second ||
		!in.Expires.Equal(entryAt.Add(time.Minute)) || !in.Idempotent || !in.Confirm {
		t.Errorf("%+v", in)
	}
	in = parse("imei", deviceA, "payload", "x", "expires_at", "2026-11-22T12:00:00.5+01:00", "idempotent", "NO", "confirm",
		"0")
	if want := time.Date(2026, 11, 22, 11, 0, 0, 5e8, time.UTC); in.err != nil || !in.Expires.Equal(want) ||
		in.Idempotent || in.Confirm {
		t.Errorf("%+v", in)
	}
}

func TestMalformedEntryNamesEveryField(t *testing.T) {
	for name, c := range map[string]struct {
		pairs []string
		wrong string // the fields, in order
	}{
		"nothing": {nil, "imei payload"},
		"everything": {[]string{"id", "a b", "imei", "x-y", "codec", "8", "payload", "6g", "encoding", "hex",
			"timeout_ms", "soon", "expires_at", "later", "idempotent", "2", "confirm", "?", "cancel", "!"},
			"codec payload timeout_ms expires_at idempotent confirm cancel id imei"},
		"encoding":          {[]string{"imei", deviceA, "payload", "x", "encoding", "base64"}, "encoding"},
		"payload too long":  {[]string{"imei", deviceA, "payload", strings.Repeat("x", 4097)}, "payload"},
		"timeout 0":         {[]string{"imei", deviceA, "payload", "x", "timeout_ms", "0"}, "timeout_ms"},
		"timeout negative":  {[]string{"imei", deviceA, "payload", "x", "timeout_ms", "-5"}, "timeout_ms"},
		"timeout too short": {[]string{"imei", deviceA, "payload", "x", "timeout_ms", "99"}, "timeout_ms"},
		"timeout too long":  {[]string{"imei", deviceA, "payload", "x", "timeout_ms", "99999999999999999"}, "timeout_ms"},
		"expiry too late":   {[]string{"imei", deviceA, "payload", "x", "expires_at", "1905345200000"}, "expires_at"},
		"expiry of 1900":    {[]string{"imei", deviceA, "payload", "x", "expires_at", "1900-01-01T00:00:00Z"}, "expires_at"},
		"codec 14":          {[]string{"imei", "truck7", "payload", "x", "codec", "14"}, "imei"},
		"cancel of nothing": {[]string{"cancel", "true"}, "id"},
		"cancel":            {[]string{"cancel", "true", "id", "x", "imei", "?!", "codec", "9"}, ""},
	} {
		in := parse(c.pairs...)
		var wrong []string
		for _, err := range unjoin(in.err) {
			if err != nil {
				field, _, _ := strings.Cut(err.Error(), " ")
				wrong = append(wrong, field)
			}
		}
		if got := strings.Join(wrong, " "); got != c.wrong {
			t.Errorf("%s: wrong are %q, want %q (%v)", name, got, c.wrong, in.err)
		}
	}
}

// TestMalformedEntriesAreAnsweredAndRemoved adds them to both streams.
func TestMalformedEntriesAreAnsweredAndRemoved(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	for _, name := range []string{"commands:outbound:a", "commands:inbox"} {
		bad := r.Do("XADD", name, "*", "imei", "no imei", "codec", "7", "payload", "zz", "encoding", "hex").(string)
		r.Do("XADD", name, "*", "id", "a b", "imei", deviceA, "payload", "x")
		r.Do("XADD", name, "*", "id", strings.Repeat("\xff\n", 500), "blob", strings.Repeat("x", 100_000))
		e := a.wantEnd(t, r, bad, command.Failed)
		for _, field := range []string{"imei", "codec", "payload"} {
			if !strings.Contains(e.Reason, field+" ") {
				t.Errorf("the reason %q says nothing of %s", e.Reason, field)
			}
		}
		testkit.Eventually(t, "an empty stream", func() bool { return r.Do("XLEN", name) == int64(0) })
		if pending := r.Do("XPENDING", name, "tcp-ingestion").([]any); pending[0] != int64(0) {
			t.Errorf("%v entries of %s are pending", pending[0], name)
		}
	}
	var of []string
	for _, result := range results(t, r) {
		of = append(of, result.ID)
	}
	if len(of) != 6 || of[1] != "a b" || len(of[2]) != maxEcho {
		t.Errorf("results: %q", of)
	}
}

// TestForeignSender uses only what the README promises: commands in, results out.
func TestForeignSender(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	a.connect(deviceA)
	b.connect(deviceB)
	wantHolder(t, r, deviceA, "a")
	wantHolder(t, r, deviceB, "b")
	r.Do("XADD", "commands:outbound:a", "*", "id", "direct", "imei", deviceA, "payload", "getinfo")
	a.wantReceived(t, "direct")
	r.Do("XADD", "commands:inbox", "*", "id", "routed", "imei", deviceB, "payload", "getver", "confirm", "true")
	if e := b.wantReceived(t, "routed"); string(e.Payload) != "getver" || !e.Confirm {
		t.Errorf("taken: %+v", e)
	}
	a.grant(t, "direct", patient)
	if _, _, err := a.Settle(context.Background(), answer(deviceA, "INI:2026/11/22"), patient); err != nil {
		t.Fatal(err)
	}
	a.wantEnd(t, r, "direct", command.Answered)
	m := stream(t, r, "commands:responses")[0]
	for field, want := range map[string]string{"id": "direct", "imei": deviceA, "status": "answered",
		"response": "INI:2026/11/22",
		"encoding": "text", "reason": "", "instance": "a"} {
		if got := text(t, m, field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if len(m.Values) != 9 || isoTime(t, text(t, m, "sent_at")).After(isoTime(t, text(t, m, "finished_at"))) {
		t.Errorf("result: %v", m.Values)
	}
}

// TestAnswerWithOddBytesIsText: one degree sign does not make hex of an answer.
func TestAnswerWithOddBytesIsText(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	a.connect(deviceA)
	wantHolder(t, r, deviceA, "a")
	r.Do("XADD", "commands:inbox", "*", "id", "odd", "imei", deviceA, "payload", "getinfo")
	a.wantReceived(t, "odd")
	a.grant(t, "odd", patient)
	if _, _, err := a.Settle(context.Background(), answer(deviceA, "Temp: 25\xb0C\x00"), patient); err != nil {
		t.Fatal(err)
	}
	a.wantEnd(t, r, "odd", command.Answered)
	m := stream(t, r, "commands:responses")[0]
	for field, want := range map[string]string{
		"response": "Temp: 25°C", "encoding": "text", "response_hex": "54656d703a203235b04300",
	} {
		if got := text(t, m, field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

// TestCommandWaitsInTheStream adds it before there is anybody to read it.
func TestCommandWaitsInTheStream(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("XADD", "commands:outbound:a", "1000-0", "id", "stale", "imei", deviceA, "payload", "getinfo")
	r.Do("XADD", "commands:outbound:a", "*", "id", "early", "imei", deviceA, "payload", "getinfo")
	a := start(t, r, "a")
	a.wantReceived(t, "early")
	a.wantEnd(t, r, "stale", command.Expired) // it counts from when it was added
}

func TestSameIDInManyEntries(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	a.connect(deviceA)
	wantHolder(t, r, deviceA, "a")
	for range 3 {
		for _, name := range []string{"commands:inbox", "commands:outbound:a", "commands:outbound:b"} {
			r.Do("XADD", name, "*", "id", "same", "imei", deviceA, "payload", "getinfo")
		}
	}
	testkit.Eventually(t, "one entry", func() bool {
		left := r.Do("XLEN", "commands:inbox").(int64)
		for _, name := range []string{"commands:outbound:a", "commands:outbound:b"} {
			left += r.Do("XLEN", name).(int64)
		}
		return left == 1
	})
	for _, n := range []*node{a, b} { // b may have got it first, and gives it back
		if _, ok := n.Received("same"); ok {
			if err := n.Return(context.Background(), "same"); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.wantReceived(t, "same")
	a.grant(t, "same", patient)
	if _, _, err := a.Settle(context.Background(), answer(deviceA, "yes"), patient); err != nil {
		t.Fatal(err)
	}
	a.wantEnd(t, r, "same", command.Answered)
	r.Do("XADD", "commands:outbound:a", "*", "id", "same", "imei", deviceA, "payload", "again")
	r.Do("XADD", "commands:inbox", "*", "id", "same", "imei", "malformed!")
	testkit.Eventually(t, "empty streams", func() bool {
		return r.Do("XLEN", "commands:inbox") == int64(0) && r.Do("XLEN", "commands:outbound:a") == int64(0)
	})
	if n := len(results(t, r)); n != 1 {
		t.Errorf("%d results", n)
	}
}

func TestCancelByEntry(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	parked, sent := newCommand(deviceA), newCommand(deviceB)
	a.submit(t, parked)
	a.submit(t, sent)
	a.grant(t, sent.ID, patient)
	r.Do("XADD", "commands:outbound:a", "*", "cancel", "true", "id", "nobody-knows")
	r.Do("XADD", "commands:inbox", "*", "cancel", "true", "id", sent.ID)
	r.Do("XADD", "commands:inbox", "*", "cancel", "true", "id", parked.ID)
	a.wantEnd(t, r, parked.ID, command.Cancelled)
	testkit.Eventually(t, "empty streams", func() bool {
		return r.Do("XLEN", "commands:inbox") == int64(0) && r.Do("XLEN", "commands:outbound:a") == int64(0)
	})
	if e := a.lookup(t, sent.ID); e.State != command.Sent {
		t.Errorf("a command that may have been sent is %s", e.State)
	}
	testkit.Eventually(t, "the receiver being told", func() bool {
		return len(a.AllFinished()) == 1 && a.AllFinished()[0].ID == parked.ID
	})
}

// TestInboxOfADeadReader has a reader take entries and do nothing with them.
func TestInboxOfADeadReader(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("XGROUP", "CREATE", "commands:inbox", "tcp-ingestion", "0", "MKSTREAM")
	r.Do("XADD", "commands:inbox", "*", "id", "left", "imei", deviceA, "payload", "getinfo")
	r.Do("XADD", "commands:inbox", "*", "id", "bad", "imei", "?", "payload", "getinfo")
	r.Do("XREADGROUP", "GROUP", "tcp-ingestion", "dead", "STREAMS", "commands:inbox", ">")
	a := start(t, r, "a")
	a.connect(deviceA)
	a.wantReceived(t, "left")
	a.wantEnd(t, r, "bad", command.Failed)
	if n := r.Do("XLEN", "commands:inbox"); n != int64(0) {
		t.Errorf("%v entries are left", n)
	}
}

// TestCancelIsReadBeforeItsCommand has a reader hold the command's entry while another one reads that which takes it
// back: instances share the inbox.
func TestCancelIsReadBeforeItsCommand(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("XGROUP", "CREATE", "commands:inbox", "tcp-ingestion", "0", "MKSTREAM")
	r.Do("XADD", "commands:inbox", "*", "id", "routed", "imei", deviceA, "payload", "getinfo")
	r.Do("XADD", "commands:outbound:b", "*", "id", "taken", "imei", deviceA, "payload", "getinfo")
	r.Do("XREADGROUP", "GROUP", "tcp-ingestion", "dead", "STREAMS", "commands:inbox", ">")
	for _, id := range []string{"routed", "taken"} {
		r.Do("XADD", "commands:inbox", "*", "id", id, "cancel", "true")
	}
	c := start(t, r, "c")
	c.connect(deviceA)
	testkit.Eventually(t, "both being taken back", func() bool { return r.Do("XLEN", "commands:inbox").(int64) <= 1 })
	b := start(t, r, "b")
	for _, id := range []string{"routed", "taken"} {
		if e := c.wantEnd(t, r, id, command.Cancelled); e.Reason != command.ReasonTakenBack || e.Attempts != 0 {
			t.Errorf("%+v", e)
		}
	}
	for _, n := range []*node{b, c} {
		if _, taken := n.Received("routed"); taken {
			t.Error("a command that was taken back is to be carried out")
		}
	}
	r.Do("XADD", "commands:inbox", "*", "id", "routed", "imei", deviceA, "payload", "getinfo")
	testkit.Eventually(t, "an empty inbox", func() bool { return r.Do("XLEN", "commands:inbox") == int64(0) })
	c.wantEnd(t, r, "routed", command.Cancelled) // its id is used up
}

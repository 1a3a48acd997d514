package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// serialFrame is a frame of one Codec 12 message of a serial port.
func serialFrame(t testing.TB, payload []byte) []byte {
	t.Helper()
	m := teltonika.Messages{Codec: teltonika.Codec12,
		Messages: []teltonika.Message{{Type: teltonika.TypeResponse, Payload: payload}}}
	frame, err := m.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// sendMessages has a device send messages in one burst, and then a record, whose ACK says that they are stored.
// It returns what must be stored.
func sendMessages(t testing.TB, d *testkit.Tracker, imei string, payloads ...[]byte) (want []string) {
	t.Helper()
	var burst []byte
	for _, p := range payloads {
		burst = append(burst, serialFrame(t, p)...)
		want = append(want, imei+"-"+hex.EncodeToString(p))
	}
	d.Send(append(burst, d.Frame(teltonika.Codec8, teltonika.Record{Timestamp: recordTime})...))
	d.ExpectACK(1)
	return want
}

func onBothEngines(t *testing.T, test func(*testing.T, store)) {
	t.Helper()
	for _, open := range []func(testing.TB) store{func(t testing.TB) store { return redisStore(t) }, embeddedStore} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) { test(t, store) })
	}
}

// Of 400 messages in one burst all 400 are kept, in order, and one of 6,144 bytes is whole. Every other one is
// equal to the one before.
func TestBurstOfMessagesIsKept(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		s := startServer(t, store.settings)
		const imei = "356307042441013"
		d := s.connect(imei)
		var payloads [][]byte
		for n := range 400 {
			payloads = append(payloads, fmt.Appendf(nil, "axle %d", n/2))
		}
		payloads = append(payloads, []byte(strings.Repeat("\x00\xff\r", 2048)))
		want := sendMessages(t, d, imei, payloads...)
		if got := store.messages(t); !slices.Equal(got, want) {
			t.Errorf("%d messages are stored, want %d, or they differ", len(got), len(want))
		}
		s.wantBalance()
		if n := s.metric("teltonika_messages_stored_total"); n != 401 {
			t.Errorf("%v messages counted as stored", n)
		}
	})
}

// Of a fleet's 11,065 messages all are kept.
func TestMessagesOfAFleetAreKept(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		const devices, messages = 50, 11_065
		s := startServer(t, store.settings)
		var mu sync.Mutex
		var want []string
		var sending sync.WaitGroup
		for i := range devices {
			imei := fmt.Sprintf("35630704244%04d", i)
			d := s.connect(imei)
			d.Timeout = time.Minute // its ACK comes behind some 220 messages, stored one after the other
			var payloads [][]byte
			for n := i; n < messages; n += devices {
				payloads = append(payloads, fmt.Appendf(nil, "card %d", n%7))
			}
			sending.Go(func() {
				sent := sendMessages(t, d, imei, payloads...)
				mu.Lock()
				defer mu.Unlock()
				want = append(want, sent...)
			})
		}
		sending.Wait()
		got := store.messages(t)
		slices.Sort(got)
		slices.Sort(want)
		if len(want) != messages || !slices.Equal(got, want) {
			t.Errorf("%d messages are stored, want %d, or they differ", len(got), len(want))
		}
		s.wantBalance()
	})
}

// While Redis is frozen the connections are not read on, well beyond the publish timeout. Afterwards everything
// is stored, each message once and in its order.
func TestFrozenRedisLosesNoMessage(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	store.settings["PUBLISH_TIMEOUT"] = "1s"
	s := startServer(t, store.settings)
	const devices, messages = 20, 50
	var trackers []*testkit.Tracker
	var want []string
	for i := range devices {
		trackers = append(trackers, s.connect(fmt.Sprintf("35630704244%04d", i)))
	}
	store.redis.Freeze()
	for i, d := range trackers {
		for n := range messages {
			payload := fmt.Appendf(nil, "card %d", n/2)
			d.Send(serialFrame(t, payload))
			want = append(want, fmt.Sprintf("35630704244%04d-%x", i, payload))
		}
	}
	testkit.EventuallyIn(t, "not ready", 15*time.Second, func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusServiceUnavailable
	})
	s.wantMetric("teltonika_messages_received_total", devices) // one of each, and no more is read on
	store.redis.Thaw()
	for _, d := range trackers {
		d.Send(d.Frame(teltonika.Codec8, teltonika.Record{Timestamp: recordTime}))
		d.ExpectACK(1)
	}
	byDevice := func(messages []string) []string {
		slices.SortStableFunc(messages, func(a, b string) int { return strings.Compare(a[:15], b[:15]) })
		return messages
	}
	if got := byDevice(store.messages(t)); !slices.Equal(got, want) {
		t.Errorf("%d messages are stored, want %d, or they differ", len(got), len(want))
	}
	s.wantBalance()
	if n := s.metric("teltonika_messages_refused_total"); n != 0 {
		t.Errorf("%v messages are lost", n)
	}
}

// A message that waits for an engine does not keep the process from stopping.
func TestStopWhileAMessageWaits(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	store.settings["DRAIN_TIMEOUT_MS"] = "1000"
	s := startServer(t, store.settings)
	d := s.connect("356307042441013")
	store.redis.Freeze()
	defer store.redis.Thaw()
	d.Send(serialFrame(t, []byte("card")))
	testkit.Eventually(t, "the message is read", func() bool { return s.metric("teltonika_messages_received_total") == 1 })
	if code := s.stop(syscall.SIGTERM, patience); code != 1 { // what was in hand is not stored
		t.Errorf("exit code %d", code)
	}
}

// A frame of Codec 12 that does not decode is a dead letter, which can be listed, shown and replayed.
func TestMessageThatDoesNotDecodeIsADeadLetter(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		s := startServer(t, store.settings)
		const imei = "356307042441013"
		d := s.connect(imei)
		d.Send(teltonika.AppendFrame(nil, []byte{0x0C, 1, 6, 0, 0, 0, 200, 'x', 1}))
		sendMessages(t, d, imei)
		code, out, errOut := execute(t, store.settings, "", "deadletters", "list", "--json")
		var letter struct {
			Ref, Reason, Codec, Transport string
		}
		if err := json.Unmarshal([]byte(out), &letter); err != nil || code != 0 {
			t.Fatalf("%v: exit code %d: %s%s", err, code, out, errOut)
		}
		if letter.Reason != "malformed" || letter.Codec != "12" || letter.Transport != "tcp" {
			t.Errorf("dead letter %+v", letter)
		}
		if code, out, _ := execute(t, store.settings, "", "deadletters", "show", letter.Ref); code != 0 ||
			!strings.Contains(out, "200 bytes") {
			t.Errorf("show: exit code %d: %s", code, out)
		}
		if code, out, _ := execute(t, store.settings, "", "deadletters", "replay", letter.Ref); code != 1 ||
			!strings.Contains(out, "stays") {
			t.Errorf("replay: exit code %d: %s", code, out)
		}
		s.wantBalance()
	})
}

func TestTailOfMessages(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		s := startServer(t, store.settings)
		const imei = "356307042441013"
		d := s.connect(imei)
		sendMessages(t, d, imei, []byte("card\x00"))
		frame, err := hex.DecodeString("000000000000001b0f010b00000013654b65a4012345678912345648656c6c6f210a01000093d6")
		if err != nil {
			t.Fatal(err)
		}
		d.Send(frame)
		sendMessages(t, d, imei)
		code, out, errOut := execute(t, store.settings, "", "tail", "--messages", "--from-start", "--count", "2")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || len(lines) != 2 {
			t.Fatalf("exit code %d, %d lines: %s", code, len(lines), errOut)
		}
		for i, want := range []string{
			`","device_id":"356307042441013","codec":"12","type":6,"sent":"","payload":"6361726400"}`,
			`","device_id":"356307042441013","codec":"15","type":11,"sent":"2023-11-08T10:40:36.000Z",` +
				`"payload":"48656c6c6f210a"}`,
		} {
			if !strings.HasPrefix(lines[i], `{"ts":"20`) || !strings.HasSuffix(lines[i], want) {
				t.Errorf("line %d: %s, want %s", i, lines[i], want)
			}
		}
	})
}

// What answers a command is kept with it, and what is sent beside it is data.
func TestAnswerIsNotAmongTheMessages(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		s := startServer(t, store.settings)
		const imei = "356307042441013"
		d := s.connect(imei)
		want := sendMessages(t, d, imei, []byte("card"))
		code := make(chan int, 1)
		go func() {
			exit, _, _ := execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "send", "--wait", "20s", imei, "getinfo")
			code <- exit
		}()
		d.ReadFrame()
		d.Send(serialFrame(t, []byte("the answer")))
		if exit := <-code; exit != 0 {
			t.Errorf("send ends with %d", exit)
		}
		want = append(want, sendMessages(t, d, imei, []byte("card"))...)
		if got := store.messages(t); !slices.Equal(got, want) {
			t.Errorf("stored %q, want %q", got, want)
		}
		if n := s.metric("teltonika_messages_answers_total"); n != 1 {
			t.Errorf("%v messages counted as answers", n)
		}
		s.wantBalance()
	})
}

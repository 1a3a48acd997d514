package redisstream

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

func TestAppendRecord(t *testing.T) {
	w := newWords("s")
	got := w.appendRecord(nil, &engine.Record{
		DeviceID: "356", Codec: "8E", Time: []byte("2026-11-22T11:00:00.123Z"), Payload: []byte("{\r\n}"),
	})
	const want = "*11\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$2\r\nts\r\n$24\r\n2026-11-22T11:00:00.123Z\r\n" +
		"$9\r\ndevice_id\r\n$3\r\n356\r\n$5\r\ncodec\r\n$2\r\n8E\r\n$7\r\npayload\r\n$4\r\n{\r\n}\r\n"
	if string(got) != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestAppendDeadLetter(t *testing.T) {
	w := newWords("s")
	got := w.appendDeadLetter(nil, &engine.DeadLetter{
		DeviceID: "356", Codec: "8", Reason: "malformed", Frame: []byte{0, 0xab}, Transport: "udp",
		Received: time.Date(2026, 11, 22, 12, 0, 0, 5999999, time.FixedZone("", 3600)),
	})
	const want = "*15\r\n$4\r\nXADD\r\n$6\r\ns:dead\r\n$1\r\n*\r\n$2\r\nts\r\n$24\r\n2026-11-22T11:00:00.005Z\r\n" +
		"$9\r\ndevice_id\r\n$3\r\n356\r\n$6\r\nreason\r\n$9\r\nmalformed\r\n$5\r\ncodec\r\n$1\r\n8\r\n" +
		"$5\r\nframe\r\n$4\r\n00ab\r\n$9\r\ntransport\r\n$3\r\nudp\r\n"
	if string(got) != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestAppendMessage(t *testing.T) {
	w := newWords("s")
	m := engine.Message{
		DeviceID: "356", Codec: "13", Type: 6, Payload: []byte{0, 0xab}, Sent: time.Unix(1700000000, 0),
		Received: time.Date(2026, 11, 22, 12, 0, 0, 5999999, time.FixedZone("", 3600)),
	}
	const want = "*15\r\n$4\r\nXADD\r\n$10\r\ns:messages\r\n$1\r\n*\r\n$2\r\nts\r\n$24\r\n2026-11-22T11:00:00.005Z\r\n" +
		"$9\r\ndevice_id\r\n$3\r\n356\r\n$5\r\ncodec\r\n$2\r\n13\r\n$4\r\ntype\r\n$1\r\n6\r\n" +
		"$4\r\nsent\r\n%s$7\r\npayload\r\n$4\r\n00ab\r\n"
	if got, want := string(w.appendMessage(nil, &m)), fmt.Sprintf(want,
		"$24\r\n2023-11-14T22:13:20.000Z\r\n"); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	m.Sent = time.Time{}
	if got, want := string(w.appendMessage(nil, &m)), fmt.Sprintf(want, "$0\r\n\r\n"); got != want {
		t.Errorf("without the device's time:\n%q, want\n%q", got, want)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	w := newWords("telemetry:teltonika")
	r := &engine.Record{DeviceID: "356307042441013", Codec: "8E", Time: make([]byte, 24), Payload: make([]byte, 600)}
	d := &engine.DeadLetter{Frame: make([]byte, 100)}
	m := &engine.Message{Payload: make([]byte, 100)}
	b := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		b = w.appendMessage(w.appendDeadLetter(w.appendRecord(b[:0], r), d), m)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReadReply(t *testing.T) {
	for text, want := range map[string]reply{
		"+OK\r\n":              {'+', 2, []byte("OK")},
		"-ERR no\r\n":          {'-', 6, []byte("ERR no")},
		":42\r\n":              {':', 42, nil},
		":-1\r\n":              {':', -1, nil},
		"$3\r\na\r\n\r\n":      {'$', 3, []byte("a\r\n")[:3]},
		"$0\r\n\r\n":           {'$', 0, nil},
		"$-1\r\n":              {'$', -1, nil},
		"*2\r\n:1\r\n:0\r\n":   {'*', 2, nil},
		"$5\r\n1-100\r\n+OK\r": {'$', 5, []byte("1-100")},
	} {
		got, err := readReply(bufio.NewReaderSize(strings.NewReader(text), replyBuffer))
		if err != nil || got.kind != want.kind || got.n != want.n || string(got.text) != string(want.text) {
			t.Errorf("%q: got %c %d %q, %v", text, got.kind, got.n, got.text, err)
		}
	}
}

func TestReadReplyBroken(t *testing.T) {
	for _, text := range []string{
		"", "\r\n", "\n", "+\n", "+OK", ":\r\n", ":x\r\n", "$x\r\n", "$5\r\nabc", "$3\r\n", "%2\r\n",
		"HTTP/1.1 400 Bad Request\r\n",
		"$9223372036854775807\r\n", "$16383\r\n" + strings.Repeat("x", 20_000), "+" + strings.Repeat("x", 20_000) + "\r\n",
	} {
		got, err := readReply(bufio.NewReaderSize(strings.NewReader(text), replyBuffer))
		if err == nil {
			t.Errorf("%.20q is taken for %+v", text, got)
		}
		if err == io.EOF {
			t.Errorf("%.20q ends like a good answer", text)
		}
	}
}

// TestReadValue has an answer follow each value, which has to be found.
func TestReadValue(t *testing.T) {
	for text, want := range map[string]string{
		"$3\r\na\r\n\r\n": "a\r\n", "$0\r\n\r\n": "", "$-1\r\n": "",
		"$16382\r\n" + strings.Repeat("x", 16382) + "\r\n": strings.Repeat("x", 16382),
		"$16383\r\n" + strings.Repeat("x", 16383) + "\r\n": "",
		"$99999\r\n" + strings.Repeat("x", 99999) + "\r\n": "",
	} {
		r := bufio.NewReaderSize(strings.NewReader(text+":7\r\n"), replyBuffer)
		if got, err := readValue(r); err != nil || string(got) != want {
			t.Errorf("%.20q: %.20q, %v", text, got, err)
		}
		if next, err := readReply(r); err != nil || next.n != 7 {
			t.Errorf("after %.20q: %+v, %v", text, next, err)
		}
	}
	for _, text := range []string{
		"", "\n", "+OK\r\n", ":1\r\n", "$x\r\n", "$5\r\nabc", "$99999\r\nabc", "$9223372036854775807\r\n",
	} {
		got, err := readValue(bufio.NewReaderSize(strings.NewReader(text), replyBuffer))
		if err == nil || err == io.EOF {
			t.Errorf("%.20q is taken for %.20q, %v", text, got, err)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add("$5\r\nhello\r\n*2\r\n:1\r\n-ERR\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := bufio.NewReaderSize(strings.NewReader(text), replyBuffer)
		for range len(text) + 1 {
			if _, err := readReply(r); err != nil {
				return
			}
		}
		t.Fatal("more answers than bytes")
	})
}

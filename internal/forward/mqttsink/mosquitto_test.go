package mqttsink

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsclient"
)

// aside is what a sink has refused.
type aside struct {
	ids, reasons []string
	err          error // of the next refusals
}

func (a *aside) refuse(reason string, items ...forward.Item) error {
	if a.err != nil {
		return a.err
	}
	for _, item := range items {
		a.ids, a.reasons = append(a.ids, item.ID), append(a.reasons, reason)
	}
	return nil
}

const devices = 5

// records are numbered from first, and take turns between the devices.
func records(first, count int) (items []forward.Item) {
	for i := first; i < first+count; i++ {
		id := fmt.Sprintf("%06d", i)
		items = append(items, forward.Item{ID: id, DeviceID: fmt.Sprint("d", i%devices), Codec: "8E", Family: "FMB120",
			Payload: fmt.Appendf(nil, `{"id":%q}`, id)})
	}
	return items
}

func newSink(t *testing.T, address string, change ...func(*Options)) (*Sink, *aside) {
	t.Helper()
	o := Options{URL: "mqtt://" + address, Version: Version5, ClientID: "forward", Topic: "fleet/{device_id}/{codec}",
		InFlight: 20, Timeout: 10 * time.Second}
	for _, c := range change {
		c(&o)
	}
	a := &aside{}
	s, err := New(o, a.refuse)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, a
}

func version(v byte) func(*Options) { return func(o *Options) { o.Version = v } }

func timeout(d time.Duration) func(*Options) { return func(o *Options) { o.Timeout = d } }

// untilDelivered tries a batch again until it is delivered.
func untilDelivered(t *testing.T, s forward.Sink, batch []forward.Item) {
	t.Helper()
	testkit.Succeeds(t, "delivering", 60*time.Second, func() error { return s.Deliver(t.Context(), batch) })
}

// expectAll waits until a subscriber has got all records below count, those of each device in their order when only the
// first time counts.
func expectAll(t *testing.T, s *testkit.Subscriber, count int) {
	t.Helper()
	var first map[string][]string
	testkit.Succeeds(t, "a subscriber of all", testkit.Timeout, func() error {
		seen := make(map[string]bool)
		first = make(map[string][]string)
		for _, m := range s.Messages() {
			if !seen[m.Payload] {
				seen[m.Payload] = true
				first[m.Topic] = append(first[m.Topic], m.Payload)
			}
		}
		if len(seen) != count {
			return fmt.Errorf("it has %d records of %d", len(seen), count)
		}
		return nil
	})
	for topic, payloads := range first {
		if !slices.IsSorted(payloads) || !strings.HasPrefix(topic, "fleet/d") {
			t.Errorf("%s: out of order: %v", topic, payloads)
		}
	}
}

func TestDelivers(t *testing.T) {
	for _, v := range []byte{Version5, Version311} {
		t.Run(fmt.Sprint("version ", v), func(t *testing.T) {
			t.Parallel()
			m := testkit.StartMosquitto(t)
			sub := m.Subscribe("all")
			s, aside := newSink(t, m.Addr(), version(v), func(o *Options) { o.Retain = true })
			for i := range 5 {
				if err := s.Deliver(t.Context(), records(i*100, 100)); err != nil {
					t.Fatal(err)
				}
			}
			expectAll(t, sub, 500)
			late := m.Subscribe("late")
			testkit.Eventually(t, "the retained ones", func() bool { return len(late.Messages()) == devices })
			if got := len(sub.Messages()); got != 500 || len(aside.ids) > 0 {
				t.Errorf("%d messages, put aside: %v", got, aside.reasons)
			}
			if m := sub.Messages()[0]; m.Topic != "fleet/d0/8E" || m.Payload != `{"id":"000000"}` {
				t.Errorf("%+v", m)
			}
		})
	}
}

// TestBrokerIsKilled: what a killed broker has acknowledged it has passed on, and what it has not is published again.
func TestBrokerIsKilled(t *testing.T) {
	for _, v := range []byte{Version5, Version311} {
		t.Run(fmt.Sprint("version ", v), func(t *testing.T) {
			t.Parallel()
			m := testkit.StartMosquitto(t)
			sub := m.Subscribe("all")
			m.Save()
			s, aside := newSink(t, m.Addr(), version(v))
			const batch, rounds = 200, 4
			count := 0
			for round := range rounds {
				killed, want := make(chan struct{}), count+3*batch/2
				go func() {
					defer close(killed)
					testkit.Eventually(t, "half of a batch", func() bool { return len(sub.Messages()) > want })
					m.Kill()
				}()
				for s.Deliver(t.Context(), records(count, batch)) == nil {
					count += batch
				}
				<-killed
				m.Restart()
				untilDelivered(t, s, records(count, batch))
				count += batch
				sub.AwaitSubscriptions(round + 2)
				expectAll(t, sub, count)
			}
			if len(aside.ids) > 0 {
				t.Errorf("put aside: %v", aside.reasons)
			}
		})
	}
}

// TestBrokerFreezes: it is given up in time, and gets everything when it goes on.
func TestBrokerFreezes(t *testing.T) {
	m := testkit.StartMosquitto(t)
	sub := m.Subscribe("all")
	s, _ := newSink(t, m.Addr(), timeout(500*time.Millisecond))
	untilDelivered(t, s, records(0, 10))
	m.Freeze()
	batch := records(10, 100)
	for range 2 { // over the connection, and over a new one
		start := time.Now()
		if err := s.Deliver(t.Context(), batch); err == nil || time.Since(start) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	}
	m.Thaw()
	untilDelivered(t, s, batch)
	expectAll(t, sub, 110)
}

// TestBrokerRefusesTopics: what it refuses waits in its order, and nothing is put aside. This broker ends the
// connection after a refusal.
func TestBrokerRefusesTopics(t *testing.T) {
	acl := filepath.Join(t.TempDir(), "acl")
	allow := func(lines string) {
		if err := os.WriteFile(acl, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	allow("topic read #\ntopic write fleet/d1/#\ntopic write fleet/d2/#\n")
	m := testkit.StartMosquitto(t, "acl_file "+acl)
	sub := m.Subscribe("all")
	s, aside := newSink(t, m.Addr())
	batch := records(0, 50)
	for range 2 {
		if err := s.Deliver(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "not authorized") {
			t.Fatalf("%v", err)
		}
	}
	allow("topic readwrite #\n")
	m.Reload()
	untilDelivered(t, s, batch)
	expectAll(t, sub, 50)
	if len(aside.ids) > 0 {
		t.Errorf("put aside: %v", aside.reasons)
	}
}

// TestTooLarge: what a broker says it never takes is put aside, and the device's next ones go on.
func TestTooLarge(t *testing.T) {
	for _, limit := range []string{"message_size_limit 1000", "max_packet_size 1000"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			m := testkit.StartMosquitto(t, limit)
			sub := m.Subscribe("all")
			s, aside := newSink(t, m.Addr())
			batch := records(0, 50)
			batch[10].Payload = []byte(`"` + strings.Repeat("x", 1000) + `"`)
			untilDelivered(t, s, batch)
			if !slices.Equal(aside.ids, []string{"000010"}) || aside.reasons[0] != "MQTT: packet too large" {
				t.Errorf("put aside %v: %v", aside.ids, aside.reasons)
			}
			expectAll(t, sub, 49)
		})
	}
}

// TestSubscriberIsAway: a broker whose queue has no end keeps everything for a session that stays.
func TestSubscriberIsAway(t *testing.T) {
	m := testkit.StartMosquitto(t)
	m.Subscribe("all", "-q", "1").Kill()
	s, _ := newSink(t, m.Addr())
	const count = 3000 // more than a broker's queue usually takes
	for i := 0; i < count; i += 500 {
		untilDelivered(t, s, records(i, 500))
	}
	expectAll(t, m.Subscribe("all", "-q", "1"), count)
}

func TestTLSAndPassword(t *testing.T) {
	c := testkit.NewCertificates(t)
	users, password := filepath.Join(t.TempDir(), "users"), c.Write("password", []byte("a b\n"))
	testkit.AddUser(t, users, "me", "a b")
	m := testkit.StartMosquitto(t, "cafile "+c.CA, "certfile "+c.Server, "keyfile "+c.Server, "require_certificate true",
		"allow_anonymous false", "password_file "+users)
	sub := m.Subscribe("all", "--cafile", c.CA, "--cert", c.Cert, "--key", c.Key, "-u", "me", "-P", "a b")
	good := func(o *Options) {
		o.URL = "mqtts://" + m.Addr()
		o.TLS = tlsclient.Files{CA: c.CA, Cert: c.Cert, Key: c.Key}
		o.User, o.Password = "me", secret.Text{File: password}
	}
	for name, wrong := range map[string]func(*Options){
		"no authority":   func(o *Options) { o.TLS.CA = "" },
		"no certificate": func(o *Options) { o.TLS.Cert, o.TLS.Key = "", "" },
		"no TLS":         func(o *Options) { o.URL = "mqtt://" + m.Addr() },
		"no password":    func(o *Options) { o.Password = secret.Text{} },
		"wrong password": func(o *Options) { o.Password = secret.Text{Value: "hunter2"} },
		"wrong, 3.1.1":   func(o *Options) { o.Password, o.Version = secret.Text{Value: "hunter2"}, Version311 },
	} {
		s, aside := newSink(t, "", good, timeout(5*time.Second), wrong)
		err := s.Deliver(t.Context(), records(0, 1))
		if err == nil || len(aside.ids) > 0 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(name, "password") && !strings.Contains(fmt.Sprint(err), "not authorized") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, _ := newSink(t, "", good)
	if err := s.Deliver(t.Context(), records(0, 10)); err != nil {
		t.Fatal(err)
	}
	expectAll(t, sub, 10)
}

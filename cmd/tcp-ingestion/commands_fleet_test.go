package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// executions are the commands that simulated devices have executed, by text. Every command of a test has a text of its
// own.
type executions struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

// Write takes the lines of simulate's list.
func (x *executions) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lines.Write(b)
}

// times are when each of the commands was executed.
func (x *executions) times(t testing.TB) map[string][]time.Time {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make(map[string][]time.Time)
	for line := range strings.Lines(x.lines.String()) {
		var e struct {
			Command    string    `json:"command"`
			ExecutedAt time.Time `json:"executed_at"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all[e.Command] = append(all[e.Command], e.ExecutedAt)
	}
	return all
}

// orders are the commands that a test has given, by text, with when each of them expires.
type orders map[string]time.Time

// underWay is how long a command that was sent in time may take until it is executed, on a busy machine.
const underWay = 3 * time.Second

// fewAnswers is how many commands are answered in time on the busiest machine; most are on an idle one.
const fewAnswers = 20

// outcome is a command's final state, and what its device answered.
type outcome struct {
	command.State
	response string
}

// wantEach fails unless each command has the one final state that is given by its text, was executed once at most,
// never after it expired, and not at all if it is said so, and has got its own answer.
func (o orders) wantEach(t *testing.T, states map[string][]outcome, executed map[string][]time.Time) {
	t.Helper()
	count := make(map[command.State]int)
	for text, expires := range o {
		if n := len(states[text]); n != 1 {
			t.Errorf("%q has %d results: %v", text, n, states[text])
			continue
		}
		state, times := states[text][0].State, executed[text]
		if response := states[text][0].response; state == command.Answered &&
			!strings.Contains(response, "Param ID:"+strings.TrimPrefix(text, "getparam ")+" ") {
			t.Errorf("%q has got the answer %q", text, response)
		}
		count[state]++
		if len(times) > 1 {
			t.Errorf("%q is %s and was executed %d times: %v", text, state, len(times), times)
		}
		for _, at := range times {
			if at.After(expires.Add(underWay)) {
				t.Errorf("%q is %s and was executed %v after it expired", text, state, at.Sub(expires))
			}
		}
		switch {
		case state == command.Answered && len(times) == 0:
			t.Errorf("%q is answered and was not executed", text)
		case (state == command.Expired || state == command.Nacked) && len(times) > 0:
			t.Errorf("%q is %s and was executed", text, state)
		}
	}
	t.Logf("%d commands: %v", len(o), count)
	if count[command.Answered] < fewAnswers {
		t.Errorf("only %d of %d are answered", count[command.Answered], len(o))
	}
}

// TestCommandsAmidKills gives a fleet commands by every way in, while one instance after the other is killed and
// started again, and Redis too. Devices that lose their connection go on at another instance.
func TestCommandsAmidKills(t *testing.T) {
	t.Parallel()
	const devices, perRound, rounds = 40, 60, 6
	p := startPlatform(t)
	names := []string{"a", "b", "c"}
	servers, settings := make([]*server, len(names)), make([]map[string]string, len(names))
	addresses := make([]string, len(names))
	for i, name := range names {
		servers[i], settings[i] = p.start(name), maps.Clone(p.settings(name))
		addresses[i] = servers[i].devices
		_, settings[i]["TELTONIKA_PORT"], _ = strings.Cut(addresses[i], ":")
	}
	var executed executions
	f := startFleet(t, addresses[0], devices, func(o *simulate.Options) {
		moderate(o)
		o.Rate, o.Reconnect, o.Executed = 400, 0.02, &executed
		o.CommandLatency = simulate.DurationRange{Max: 100 * time.Millisecond}
		o.CommandSilence, o.CommandTwice, o.CommandCarry = 0.1, 0.1, 0.9
		o.Dial = func(ctx context.Context, _ int) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addresses[rand.IntN(len(addresses))])
		}
	})

	given := make(orders)
	order := func() {
		text := fmt.Sprint("getparam ", len(given))
		id, imei := fmt.Sprint("c", len(given)), fmt.Sprint(simulate.Defaults().IMEIBase+uint64(rand.IntN(devices)))
		expires := time.Now().Add(6 * time.Second)
		given[text] = expires
		if n := rand.IntN(len(names) + 2); n < len(names) {
			p.order("commands:outbound:"+names[n], id, imei, text, "timeout_ms", 500, "expires_at", expires.UnixMilli())
		} else if n == len(names) {
			p.order("commands:inbox", id, imei, text, "timeout_ms", 500, "expires_at", expires.UnixMilli())
		} else {
			r := asks(id, text)
			r.TimeoutMS, r.ExpiresAt = new(int64(500)), new(expires.Format(time.RFC3339Nano))
			servers[rand.IntN(len(servers))].order(imei, r)
		}
	}
	for round := range rounds {
		for i := range perRound {
			if order(); i == perRound/2 {
				f.awaitProgress(t, 20) // the first half is under way
			}
		}
		if i := round % (len(names) + 1); i < len(names) {
			servers[i] = servers[i].reborn(settings[i])
		} else {
			p.Kill()
			p.Restart()
		}
		f.awaitProgress(t, 100)
	}
	states := make(map[string][]outcome)
	testkit.Eventually(t, "every command has its result", func() bool { return len(p.responses()) == len(given) })
	f.end(t)
	for id, all := range p.responses() {
		for _, r := range all {
			text := "getparam " + strings.TrimPrefix(id, "c")
			states[text] = append(states[text], outcome{command.State(r["status"]), r["response"]})
		}
	}
	given.wantEach(t, states, executed.times(t))
}

// runSimulateWithCommands runs simulate as a process for so long and returns what it printed and which commands were
// executed.
func runSimulateWithCommands(
	t *testing.T, s *server, seconds int, args ...string,
) (result commandedFleet, executed map[string][]time.Time) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "executed")
	args = append([]string{"simulate", "--address", s.devices, "--json", "--quiet", "--command-ledger", list,
		"--duration", fmt.Sprint(seconds, "s")}, args...)
	cmd := program(t, nil, args...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("simulate: %v\n%s", err, out)
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("simulate: %v\n%s", err, out)
	}
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var x executions
	x.lines.Write(b)
	return result, x.times(t)
}

// commandedFleet is what matters here of the JSON that simulate prints.
type commandedFleet struct {
	OK          bool `json:"ok"`
	Received    int  `json:"commands_received"`
	Answered    int  `json:"commands_answered"`
	Nacked      int  `json:"commands_nacked"`
	Copied      int  `json:"answers_copied"`
	Overlapping int  `json:"commands_overlapping"`
}

// TestFleetWithCommands gives two hundred devices some commands each, which some of them do not answer, or late, twice,
// with a nACK, or on their next connection.
func TestFleetWithCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		open func(testing.TB) store
		each int // commands for a device
		args []string
	}{
		{"embedded", embeddedStore, 2, nil}, // every step of a command is fsynced
		{"redis", func(t testing.TB) store { return redisStore(t) }, 4,
			[]string{"--command-late", "0.1", "--command-late-by", "1500ms"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			settings := maps.Clone(c.open(t).settings)
			settings["COMMAND_QUARANTINE"] = "2s"
			s := startServer(t, settings)
			given, states := make(orders), make(map[string][]outcome)
			var sending sync.WaitGroup
			sending.Go(func() { orderForAll(t, s, c.each, given, states) })
			fleet, executed := runSimulateWithCommands(t, s, 15,
				append([]string{"--devices", "200", "--rate", "400", "--reconnect", "0.03",
					"--command-latency", "5ms-200ms", "--command-silence", "0.05", "--command-nack", "0.1", "--command-twice", "0.1",
					"--command-carry", "0.5", "--messages", "6"}, c.args...)...)
			sending.Wait()
			given.wantEach(t, states, executed)
			t.Logf("%+v", fleet)
			if !fleet.OK || fleet.Answered == 0 || fleet.Nacked == 0 || fleet.Copied == 0 {
				t.Error("the fleet did not do what it was to do")
			}
			if c.args == nil && fleet.Overlapping != 0 {
				t.Errorf("%d commands came while another one was to be answered", fleet.Overlapping)
			}
			s.wantBalance()
			s.wantMetric("teltonika_commands_total", float64(len(given)))
		})
	}
}

// orderForAll gives each device so many commands, waits for what becomes of them, and writes it down.
func orderForAll(t *testing.T, s *server, each int, given orders, states map[string][]outcome) {
	client := s.client()
	type one struct{ imei, id, text string }
	var all []one
	for round := range each {
		for i := range 200 {
			imei, id := fmt.Sprint(simulate.Defaults().IMEIBase+uint64(i)), fmt.Sprint(round, "-", i)
			r := asks(id, fmt.Sprintf("getparam %d%03d", round+1, i))
			expires := time.Now().Add(12 * time.Second)
			r.TimeoutMS, r.ExpiresAt = new(int64(1000)), new(expires.Format(time.RFC3339Nano))
			if i%2 == 0 {
				r.Codec = new(14)
			}
			if _, err := client.Submit(t.Context(), imei, r); err != nil {
				t.Errorf("%s: %v", id, err)
				return
			}
			given[*r.Command] = expires
			all = append(all, one{imei, id, *r.Command})
		}
	}
	for _, c := range all {
		var e admin.Entry
		var err error
		if e, err = client.Command(t.Context(), c.imei, c.id, patience); err != nil || !e.State.Final() {
			t.Errorf("%s is %s, %v", c.id, e.State, err)
		}
		end := outcome{State: e.State}
		if e.Response != nil {
			end.response = *e.Response
		}
		states[c.text] = append(states[c.text], end)
	}
}

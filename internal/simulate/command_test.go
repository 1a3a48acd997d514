package simulate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestAnswers(t *testing.T) {
	var list bytes.Buffer
	o := idle()
	o.CommandLatency = DurationRange{Min: 100 * time.Millisecond, Max: 300 * time.Millisecond}
	o.Executed = &list
	commands := []struct{ command, answer string }{
		{"getver", `^Ver:03\.28\.00_00 GPS:AXN_5\.0 Hw:FMB120 Mod:12 IMEI:350000000000000 Init:\d+-\d+-\d+ \d+:\d+ ` +
			`Uptime:\d+ MAC:020000000000 `},
		{"getinfo", `^RTC:.* GPS:3 SAT:\d+ `},
		{"getgps", `^GPS:1 Sat:\d+ Lat:\d+\.\d{6} Long:-?\d+\.\d{6} Alt:\d+ Speed:\d+ Dir:\d+ Date:`},
		{"getstatus", `^Data Link:1 GPRS:1 `},
		{"getparam 1000", `^Param ID:1000 Val:300$`},
		{"setparam 1000:259200;2004:a.example:80", `^New value 1000:259200;2004:a\.example:80;$`},
		{"getparam 1000;2004;5\r\n", `^Param ID:1000 Val:259200;Param ID:2004 Val:a\.example:80;Param ID:5 Val:0$`},
		{"setparam 1000", `^Wrong parameter$`},
		{"getparam", `^Wrong parameter$`},
		{"SetDigOut 10", `^DOUTS are set to:10$`},
		{"deleterecords", `^Records are deleted$`},
		{"launch", `^Unknown command$`},
		{"\x01\x02", `^Unknown command$`},
	}
	withPlatform(t, o, new(platform), func(t *testing.T, p *platform) {
		c := p.connection(0)
		for i, test := range commands {
			imei := []string{"", firstIMEI}[i%2]
			sent := time.Now()
			c.out <- commandFrame(imei, test.command)
			time.Sleep(time.Second)
			answers := c.received()
			if len(answers) != i+1 {
				t.Fatalf("%q: %d answers, expected %d", test.command, len(answers), i+1)
			}
			a := answers[i]
			if !regexp.MustCompile(test.answer).Match(a.Payload) || a.Type != teltonika.TypeResponse {
				t.Errorf("%q is answered with %q of type %d", test.command, a.Payload, a.Type)
			}
			if want := []teltonika.Codec{teltonika.Codec12, teltonika.Codec14}[i%2]; a.codec != want || a.IMEI != imei {
				t.Errorf("%q is answered in codec %v with IMEI %q", test.command, a.codec, a.IMEI)
			}
			if took := a.at.Sub(sent); took < 100*time.Millisecond || took > 300*time.Millisecond {
				t.Errorf("%q took %v", test.command, took)
			}
		}
	}, func(t *testing.T, l Ledger) {
		n := int64(len(commands))
		if l.CommandsReceived != n || l.CommandsAnswered != n || l.CommandsUnanswered() != 0 || l.CommandsOverlapping != 0 ||
			!l.OK() {
			t.Errorf("ledger of %d commands: %+v", n, l)
		}
	})
	lines := strings.Split(strings.TrimSpace(list.String()), "\n")
	if len(lines) != len(commands) {
		t.Fatalf("%d lines of %d commands", len(lines), len(commands))
	}
	for i, line := range lines {
		var e execution
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		printable := !strings.ContainsAny(commands[i].command, "\x01\r")
		if e.IMEI != firstIMEI || e.Codec != 12+2*(i%2) || e.ExecutedAt.IsZero() || e.Hex == printable ||
			printable && e.Command != commands[i].command {
			t.Errorf("line %s of command %q", line, commands[i].command)
		}
	}
}

// TestWhereCommandsStand sends commands wherever a server may: with the login's answer, before, with and behind an ACK,
// and in pieces.
func TestWhereCommandsStand(t *testing.T) {
	o := small("", 1, 0)
	o.Rate, o.Duration, o.RecordsPerFrame, o.Start = 0.1, time.Hour, Range{Min: 1, Max: 1}, time.Time{}
	o.CommandLatency = DurationRange{Min: 100 * time.Millisecond, Max: 100 * time.Millisecond}
	p := &platform{login: commandFrame("", "setparam 1:1")}
	withPlatform(t, o, p, func(t *testing.T, p *platform) {
		c := p.connection(0)
		c.mu.Lock()
		c.before, c.behind = commandFrame("", "setparam 2:2"), commandFrame("", "setparam 3:3")
		c.mu.Unlock()
		time.Sleep(20 * time.Second) // a frame
		for _, b := range commandFrame("", "setparam 4:4") {
			c.out <- []byte{b}
		}
		time.Sleep(time.Second)
		c.out <- slices.Concat(commandFrame("", "setparam 5:5"), commandFrame("", "setparam 6:6"))
		time.Sleep(time.Second)
		c.mu.Lock()
		c.hold = true
		frames := c.frames
		c.mu.Unlock()
		testkit.Eventually(t, "a frame waits for its ACK", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.frames > frames
		})
		c.out <- commandFrame("", "setparam 7:7")
		time.Sleep(time.Second)
		want := []string{
			"New value 1:1;", "New value 2:2;", "New value 3:3;", "New value 4:4;", "New value 5:5;", "New value 6:6;",
			"New value 7:7;",
		}
		if got := c.texts(); !slices.Equal(got, want) {
			t.Errorf("answers are %q", got)
		}
		c.out <- teltonika.AppendAck(nil, 1)
		time.Sleep(time.Second)
	}, func(t *testing.T, l Ledger) {
		if !l.OK() || l.Connections != 1 || l.FramesResent != 0 || l.CommandsAnswered != 7 {
			t.Errorf("ledger: %+v", l)
		}
	})
}

func TestFates(t *testing.T) {
	frame12, frame14 := commandFrame("", "getgps"), commandFrame(firstIMEI, "getgps")
	for name, c := range map[string]struct {
		change   func(o *Options)
		frame    []byte
		expect   []time.Duration // when answers come
		kind     byte
		executed bool
	}{
		"prompt": {func(o *Options) {}, frame14, []time.Duration{time.Second}, teltonika.TypeResponse, true},
		"silent": {func(o *Options) { o.CommandSilence = 1 }, frame12, nil, 0, true},
		"late": {func(o *Options) { o.CommandLate, o.CommandLateBy = 1, time.Minute }, frame12,
			[]time.Duration{time.Minute}, 6, true},
		"twice": {func(o *Options) { o.CommandTwice = 1 }, frame12, []time.Duration{time.Second, 2 * time.Second},
			6, true},
		"nACK": {func(o *Options) { o.CommandNack = 1 }, frame14, []time.Duration{time.Second},
			teltonika.TypeNack, false},
		"nACK in codec 12": {func(o *Options) { o.CommandNack = 1 }, frame12, []time.Duration{time.Second}, 6, true},
		"another's IMEI": {func(o *Options) {}, commandFrame("350000000000001", "getgps"), []time.Duration{time.Second},
			teltonika.TypeNack, false},
		"unknown":           {func(o *Options) {}, commandFrame("", "launch"), []time.Duration{time.Second}, 6, true},
		"unknown is silent": {func(o *Options) { o.CommandIgnoreUnknown = true }, commandFrame("", "launch"), nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var list bytes.Buffer
			o := idle()
			o.CommandLatency, o.Executed = DurationRange{time.Second, time.Second}, &list
			c.change(&o)
			withPlatform(t, o, new(platform), func(t *testing.T, p *platform) {
				conn := p.connection(0)
				sent := time.Now()
				conn.out <- c.frame
				time.Sleep(10 * time.Minute)
				var at []time.Duration
				for _, m := range conn.received() {
					at = append(at, m.at.Sub(sent))
					if m.Type != c.kind || m.IMEI != "" && m.IMEI != firstIMEI {
						t.Errorf("answered with type %#x, IMEI %q", m.Type, m.IMEI)
					}
				}
				if !slices.Equal(at, c.expect) {
					t.Errorf("answers after %v, expected %v", at, c.expect)
				}
			}, func(t *testing.T, l Ledger) {
				if l.CommandsAnswered+l.CommandsNacked+l.AnswersCopied != int64(len(c.expect)) || l.CommandsReceived != 1 {
					t.Errorf("ledger: %+v", l)
				}
			})
			if executed := list.Len() > 0; executed != c.executed {
				t.Errorf("executed %v, expected %v", executed, c.executed)
			}
		})
	}
}

// TestShares draws the fates of many commands.
func TestShares(t *testing.T) {
	o := Defaults()
	o.CommandSilence, o.CommandLate, o.CommandNack, o.CommandTwice = 0.1, 0.2, 0.3, 0.05
	d := (&fleet{options: &o, meter: newMeter(1)}).newDevice(0, mustCatalogues(t))
	var counts [5]float64
	const draws = 20_000
	for range draws {
		counts[d.drawFate()]++
	}
	for f, share := range [5]float64{0.35, 0.1, 0.2, 0.3, 0.05} {
		if !within(counts[f]/draws, share, 0.1) {
			t.Errorf("fate %d has the share %v, expected %v", f, counts[f]/draws, share)
		}
	}
}

func mustCatalogues(t *testing.T) map[teltonika.Codec]*catalogue {
	t.Helper()
	c, err := newCatalogues()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestConnectionEndsBeforeTheAnswer has the answer given on the next connection, or never.
func TestConnectionEndsBeforeTheAnswer(t *testing.T) {
	for _, carry := range []float64{0, 1} {
		o := idle()
		o.CommandLatency, o.CommandTwice, o.CommandCarry = DurationRange{time.Second, time.Second}, 1, carry
		withPlatform(t, o, new(platform), func(t *testing.T, p *platform) {
			first := p.connection(0)
			first.out <- commandFrame("", "setparam 5:1")
			synctest.Wait()
			first.conn.Close()
			second := p.connection(1)
			time.Sleep(time.Minute)
			if got := second.texts(); len(got) != int(carry) || carry == 1 && got[0] != "New value 5:1;" {
				t.Errorf("carry %v: next connection has the answers %q", carry, got)
			}
		}, func(t *testing.T, l Ledger) {
			if l.CommandsReceived != 1 || l.CommandsAnswered != int64(carry) || l.Connections != 2 {
				t.Errorf("carry %v: %+v", carry, l)
			}
		})
	}
}

// TestRestart has a device restart at once: it gives no answer, also to what was to be answered, and remembers its
// settings.
func TestRestart(t *testing.T) {
	o := idle()
	o.CommandLatency, o.CommandCarry = DurationRange{time.Second, time.Second}, 1
	withPlatform(t, o, new(platform), func(t *testing.T, p *platform) {
		p.connection(0).out <- slices.Concat(commandFrame("", "setparam 5:77"), commandFrame("", "cpureset"))
		again := p.connection(1)
		again.out <- commandFrame("", "getparam 5")
		time.Sleep(time.Minute)
		if got := append(p.connection(0).texts(), again.texts()...); !slices.Equal(got, []string{"Param ID:5 Val:77"}) {
			t.Errorf("answers are %q", got)
		}
	}, func(t *testing.T, l Ledger) {
		if l.CommandsReceived != 3 || l.CommandsAnswered != 1 || l.CommandsOverlapping != 1 || l.LastFailure != "" ||
			l.Connections != 2 {
			t.Errorf("ledger: %+v", l)
		}
	})
}

func TestMessages(t *testing.T) {
	o := idle()
	o.Devices, o.Messages, o.Duration = 3, 6, 100*time.Minute
	withPlatform(t, o, new(platform), func(t *testing.T, p *platform) {
		p.connection(2)
		time.Sleep(90 * time.Minute)
		for n := range 3 {
			c := p.connection(n)
			messages := c.received()
			if !within(float64(len(messages)), 540, 0.1) {
				t.Errorf("%d messages in 90 minutes, expected 6 a minute", len(messages))
			}
			kinds := make(map[teltonika.Codec]int)
			for _, m := range messages {
				kinds[m.codec]++
				if m.Type == teltonika.TypeResponse || m.codec == teltonika.Codec15 && m.IMEI != c.imei {
					t.Errorf("%v of %s looks like an answer, or like another device's", m, c.imei)
				}
			}
			if kinds[teltonika.Codec12] < 100 || kinds[teltonika.Codec15] < 100 {
				t.Errorf("messages are %v", kinds)
			}
		}
	}, func(t *testing.T, l Ledger) {
		if !within(float64(l.MessagesSent), 3*540, 0.1) {
			t.Errorf("ledger: %+v", l)
		}
	})
}

// TestBrokenCommands has a server send what no correct one sends.
func TestBrokenCommands(t *testing.T) {
	wrongCRC := commandFrame("", "getinfo")
	wrongCRC[len(wrongCRC)-1]++
	for name, b := range map[string][]byte{
		"wrong CRC":   wrongCRC,
		"cut":         commandFrame("", "getinfo")[:20],
		"only zeros":  {0, 0, 0, 0},
		"three bytes": {0, 0, 0},
		"too long":    {0, 0, 0, 0, 0, 1, 0, 0, 12, 1},
		"a response":  messageFrame(teltonika.Codec12, teltonika.Message{Type: teltonika.TypeResponse}),
		"codec 15":    messageFrame(teltonika.Codec15, teltonika.Message{Type: teltonika.TypeCommand, IMEI: firstIMEI}),
		"records":     teltonika.AppendFrame(nil, []byte{8, 0, 0}),
	} {
		t.Run(name, func(t *testing.T) {
			withPlatform(t, idle(), new(platform), func(t *testing.T, p *platform) {
				p.connection(0).out <- b
				p.connection(1)
			}, func(t *testing.T, l Ledger) {
				if l.WrongAnswers != 1 || l.CommandsReceived != 0 || l.OK() {
					t.Errorf("ledger: %+v", l)
				}
			})
		})
	}
}

func TestExecutedListFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &platform{t: t, login: commandFrame("", "getinfo")}
		o := idle()
		o.Dial, o.Executed = p.dial, new(fullDisk)
		if _, err := Run(t.Context(), o); !errors.Is(err, errFull) {
			t.Errorf("error is %v, expected %v", err, errFull)
		}
		p.wg.Wait()
	})
}

// TestCommandsUnderLoad commands a fleet that sends as fast as it can, over TCP, with connections that end: what the
// ledger says is what has happened, and no record suffers.
func TestCommandsUnderLoad(t *testing.T) {
	s := &server{tb: t, commands: make(map[string][]string)}
	var list bytes.Buffer
	o := small(s.listen(), 20, 20_000)
	o.LoseACK, o.CommandTwice, o.CommandSilence, o.CommandNack, o.Messages = 0.05, 0.1, 0.1, 0.1, 6000
	o.CommandLatency, o.Executed = DurationRange{Max: time.Millisecond}, &list
	var confirmed bytes.Buffer
	o.Confirmed = &confirmed
	s.answer = func(a arrival) answer {
		imei := []string{"", a.imei}[a.nth%2]
		return answer{bytes: slices.Concat(commandFrame(imei, "getparam 9"), teltonika.AppendAck(nil, len(a.records)))}
	}
	l := run(t, o)
	s.close()
	if !l.OK() || l.RecordsAcknowledged != 20_000 || len(s.ids()) != 20_000 {
		t.Errorf("%d records arrived, ledger: %+v", len(s.ids()), l)
	}
	answers, nacks, others := 0, 0, 0
	for _, messages := range s.commands {
		for _, m := range messages {
			switch m {
			case "Param ID:9 Val:0":
				answers++
			case "":
				nacks++
			default:
				others++
			}
		}
	}
	lost := l.Connections // a connection that ends may lose what was sent last
	for name, c := range map[string][2]int64{
		"answers": {l.CommandsAnswered + l.AnswersCopied, int64(answers)},
		"nACKs":   {l.CommandsNacked, int64(nacks)},
		"others":  {l.MessagesSent, int64(others)},
	} {
		if c[0] < 20 || c[1] > c[0] || c[1] < c[0]-lost {
			t.Errorf("%d %s were sent and %d arrived, over %d connections", c[0], name, c[1], l.Connections)
		}
	}
	// What the ACK of a later frame confirms has arrived, whatever else was lost with its connection.
	lines := strings.Fields(confirmed.String())
	if n := int64(len(lines)); n != l.MessagesConfirmed || n < l.MessagesSent/10 || n > int64(others) {
		t.Errorf("%d messages of %d are confirmed, ledger: %+v", n, l.MessagesSent, l)
	}
	for _, line := range lines {
		imei, payload, _ := strings.Cut(line, "-")
		text, err := hex.DecodeString(payload)
		if err != nil || !slices.Contains(s.commands[imei], string(text)) {
			t.Fatalf("%s is confirmed and has not arrived: %v", line, err)
		}
	}
	executed := int64(strings.Count(list.String(), "\n"))
	if executed > l.CommandsReceived-l.CommandsNacked || executed < l.CommandsAnswered ||
		l.CommandsUnanswered() < executed/20 {
		t.Errorf("%d commands executed, ledger: %+v", executed, l)
	}
}

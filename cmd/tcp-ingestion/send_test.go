package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// oracle is the dispatcher of a server on which every command ends the same way.
type oracle struct {
	end   ending
	known presences
	kept  *sync.Map // entries by id
}

func (o oracle) Submit(_ context.Context, c command.Command, _ string) (command.Entry, bool, error) {
	e, err := o.end(c)
	o.kept.Store(c.ID, e)
	return e, true, err
}

func (o oracle) Lookup(_ context.Context, id string) (command.Entry, error) {
	if e, ok := o.kept.Load(id); ok {
		return e.(command.Entry), nil
	}
	return command.Entry{}, command.ErrUnknown
}

func (o oracle) Cancel(ctx context.Context, id string) (command.Entry, error) {
	return o.Lookup(ctx, id)
}

func (o oracle) List(context.Context, command.Query) (command.Page, error) {
	return command.Page{}, nil
}

func (o oracle) Await(ctx context.Context, e command.Entry) (command.Entry, error) {
	<-ctx.Done()
	return e, ctx.Err()
}

// presences are who is known.
type presences []device.Presence

func (all presences) Find(_ context.Context, imei string) (device.Presence, bool, error) {
	for _, p := range all {
		if p.IMEI == imei {
			return p, true, nil
		}
	}
	return device.Presence{}, false, nil
}

func (all presences) List(_ context.Context, q device.Query) (page []device.Presence, next string, err error) {
	for _, p := range all {
		if q.State.Has(&p) {
			page = append(page, p)
		}
	}
	return page, "", nil
}

// serveAdmin runs the API of the oracle, and returns its address.
func serveAdmin(t *testing.T, o oracle, token string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.kept = &sync.Map{}
	s := admin.NewServer(admin.Options{Commands: o, Devices: o.known, Token: token, Logger: slog.New(slog.DiscardHandler)})
	go s.Serve(l)
	t.Cleanup(func() { s.Close(t.Context()) })
	return l.Addr().String()
}

// ending is what becomes of a command.
type ending func(command.Command) (command.Entry, error)

// ends makes every command end in a state.
func ends(state command.State, reason string, attempts int, response string) ending {
	return func(c command.Command) (command.Entry, error) {
		e := command.Entry{Command: c, State: state, Reason: reason, Attempts: attempts}
		if response != "" {
			e.Response = []byte(response)
		}
		return e, nil
	}
}

// parked is what becomes of a command whose device is not connected.
func parked(c command.Command) (command.Entry, error) {
	return command.Entry{Command: c, State: command.Queued, Parked: true}, nil
}

func fails(err error) ending {
	return func(command.Command) (command.Entry, error) { return command.Entry{}, err }
}

const oneIMEI = "356307042441013"

func TestSend(t *testing.T) {
	answered := ends(command.Answered, "", 1, "Ver:03.25.14")
	for _, c := range []struct {
		name string
		end  ending
		args []string
		code int
		out  string
		says []string // on standard error
	}{
		{"text", answered, nil, 0, "Ver:03.25.14\n", nil},
		{"lines", ends(command.Answered, "", 1, "a\r\nb\n"), nil, 0, "a\nb\n", nil},
		{"odd byte", ends(command.Answered, "", 1, "Temp: 25\xb0C\x00"), nil, 0, "Temp: 25°C\n", nil},
		{"bytes", ends(command.Answered, "", 1, "\x00\xff"), nil, 0, "00ff\n", nil},
		{"nothing", ends(command.Answered, "", 1, ""), nil, 0, "\n", nil},
		{"accepted", ends(command.Queued, "", 0, ""), []string{"--wait", "0", "--id", "a1"}, 0, "a1\n", nil},
		{"queued", ends(command.Queued, "", 0, ""), []string{"--wait", "10ms", "--id", "a1"}, 14, "",
			[]string{"a1 is queued", "--id a1", "when its turn comes", "commands cancel a1"}},
		{"not connected", parked, []string{"--wait", "10ms", "--id", "a1"}, 14, "",
			[]string{oneIMEI + " is not connected", "command a1 is queued", "when the device connects, until 20"}},
		{"sent", ends(command.Sent, "", 1, ""), []string{"--wait", "10ms", "--id", "a1"}, 14, "",
			[]string{"a1 is sent", "--id a1"}},
		{"nacked", ends(command.Nacked, "it has another IMEI", 1, ""), nil, 12, "", []string{"nacked: it has another IMEI"}},
		{"timed out", ends(command.TimedOut, "no answer", 1, ""), nil, 11, "",
			[]string{"timed_out: no answer", "may have executed"}},
		{"expired", ends(command.Expired, "", 0, ""), nil, 10, "", []string{"is expired", "not sent"}},
		{"failed", ends(command.Failed, command.ReasonDeliveryUnknown, 1, ""), nil, 1, "",
			[]string{"failed: delivery unknown", "may have executed"}},
		{"failed early", ends(command.Failed, "denied by policy", 0, ""), nil, 1, "",
			[]string{"failed: denied by policy", "not sent"}},
		{"condition not met", ends(command.Failed, "condition not met: speed is 43", 0, ""), []string{"--only-if", "speed<5"},
			15, "", []string{"speed is 43", "it was not sent"}},
		{"wrong condition", answered, []string{"--only-if", "speed<slow"}, 2, "", []string{"--only-if", "in km/h"}},
		{"cancelled", ends(command.Cancelled, "", 0, ""), nil, 13, "", []string{"is cancelled"}},
		{"to be confirmed", fails(&command.RefusedError{Reason: command.RefusedConfirm, Text: "think twice"}), nil, 77, "",
			[]string{"think twice", "--confirm"}},
		{"denied", fails(&command.RefusedError{Reason: command.RefusedDenied, Text: "never"}), nil, 77, "",
			[]string{"never", "COMMAND_POLICY"}},
		{"too many", fails(command.TooMany(command.RefusedQueue)), nil, 75, "", []string{"too many commands", "later"}},
		{"too many in all", fails(command.TooMany(command.RefusedStore)), nil, 75, "", []string{"in all", "later"}},
		{"no store", fails(errors.New("refused")), []string{"--id", "a1"}, 1, "", []string{"store", "--id a1"}},
		{"another's id", func(c command.Command) (command.Entry, error) {
			c.IMEI = "1"
			return command.Entry{Command: c}, nil
		}, []string{"--id", "a1"}, 1, "", []string{"the id is another command's"}},
		{"wrong values", answered, []string{"--codec", "13", "--timeout", "1ms", "--expires", "0", "--id", "a b"}, 2, "",
			[]string{"--codec must", "--timeout in ms is 1", "--expires in ms is 0", "--id must"}},
		{"wrong wait", answered, []string{"--wait", "-1s"}, 2, "", []string{"--wait in ms is -1000"}},
		{"wrong hex", answered, []string{"--hex"}, 2, "", []string{"COMMAND is not hex"}},
		{"not quoted", answered, []string{"extra"}, 2, "", []string{"quoted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := serveAdmin(t, oracle{end: c.end}, "")
			args := append([]string{"send", oneIMEI, "getver"}, c.args...)
			code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": address}, "", args...)
			if code != c.code || out != c.out || (code == 0) != (errOut == "") {
				t.Errorf("exit code %d, want %d\n got %q\nwant %q\n%s", code, c.code, out, c.out, errOut)
			}
			for _, text := range c.says {
				if !strings.Contains(errOut, text) {
					t.Errorf("does not say %q: %s", text, errOut)
				}
			}
		})
	}
}

// TestSendAsAsked looks at what the flags make of a command, before its name and behind it.
func TestSendAsAsked(t *testing.T) {
	got := make(chan command.Command, 1)
	address := serveAdmin(t, oracle{end: func(c command.Command) (command.Entry, error) {
		got <- c
		return ends(command.TimedOut, "", 1, "")(c)
	}}, "a secret of the test")
	code, out, errOut := execute(t, map[string]string{"ADMIN_TOKEN": "a-secret-that-is-wrong"}, "", "send",
		"--admin-address", address, "--admin-token", "a-secret-of-the-test", oneIMEI, "0a0B")
	if code != 1 || !strings.Contains(errOut, "ADMIN_TOKEN") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	address = serveAdmin(t, oracle{end: func(c command.Command) (command.Entry, error) {
		got <- c
		return ends(command.TimedOut, "", 1, "")(c)
	}}, "a-secret-of-the-test")
	code, out, errOut = execute(t, map[string]string{"ADMIN_TOKEN": "a-secret-that-is-wrong"}, "", "send",
		"--admin-address", address, "--admin-token", "a-secret-of-the-test", "--hex", oneIMEI, "0a0B", "--codec", "14",
		"--timeout", "90s",
		"--expires", "1h", "--id", "a1", "--idempotent", "--confirm", "--json")
	var e admin.Entry
	if err := json.Unmarshal([]byte(out), &e); code != exitTimedOut || err != nil ||
		e.State != command.TimedOut || e.ID != "a1" {
		t.Errorf("exit code %d, %v: %s%s", code, err, out, errOut)
	}
	c := <-got
	if string(c.Payload) != "\x0a\x0b" || c.Codec != teltonika.Codec14 || c.Timeout != 90*time.Second || c.ID != "a1" ||
		!c.Idempotent ||
		!c.Confirm || c.Expires != c.Created.Add(time.Hour) || c.IMEI != oneIMEI {
		t.Errorf("submitted %+v", c)
	}
}

// TestNobodyToAsk: both commands say what is missing.
func TestNobodyToAsk(t *testing.T) {
	closed := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	for _, args := range [][]string{{"send", oneIMEI, "getver"}, {"devices"}, {"commands", "list"},
		{"commands", "show", "a1"}, {"commands", "cancel", "a1"}} {
		for _, c := range []struct {
			address string
			code    int
			says    []string
		}{
			{closed, 69, []string{"http://" + closed, "connection refused", "ADMIN_ADDRESS", "must run"}},
			{"", 78, []string{"ADMIN_ADDRESS is off"}},
			{"off", 78, []string{"ADMIN_ADDRESS is off"}},
			{"127.0.0.1:0", 78, []string{"ADMIN_ADDRESS", "any free one"}},
			{"127.0.0.1", 78, []string{"ADMIN_ADDRESS", "127.0.0.1:9091"}},
			{"192.0.2.1:9091", 78, []string{"ADMIN_ADDRESS", "ADMIN_TOKEN"}},
		} {
			code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": c.address}, "", args...)
			if code != c.code || out != "" || strings.Contains(errOut, "--id") {
				t.Errorf("%v at %q: exit code %d\n%s%s", args, c.address, code, out, errOut)
			}
			for _, text := range c.says {
				if !strings.Contains(errOut, text) {
					t.Errorf("%v at %q does not say %q: %s", args, c.address, text, errOut)
				}
			}
		}
		code, _, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": closed}, "", append(args, "--admin-address=")...)
		if code != 78 || !strings.Contains(errOut, "ADMIN_ADDRESS is off") {
			t.Errorf("%v with an empty flag: exit code %d: %s", args, code, errOut)
		}
	}
}

func TestDevices(t *testing.T) {
	at := device.Time{Time: time.Date(2026, 11, 22, 10, 12, 1, 0, time.UTC)}
	address := serveAdmin(t, oracle{known: presences{
		{IMEI: oneIMEI, Connected: true, Instance: "gate-1", ConnectedAt: at, Address: "[2001:db8::1]:1", Transport: "tcp",
			Codec: "8E", Frames: 120, Records: 371, LastSeen: at, Model: "FMB120"},
		{IMEI: "7", Instance: "gate-2", ConnectedAt: at, Address: "192.0.2.1:1", Transport: "udp", LastSeen: at,
			CloseReason: "idle_timeout", ClosedAt: at, Model: "\x1b[31m"},
		{IMEI: "8", Instance: "gate-3", ConnectedAt: at, Address: "192.0.2.1:1", Transport: "tcp", LastSeen: at,
			InstanceLost: at},
		{IMEI: "9", Connected: true, ConnectedAt: at, Address: "198.51.100.7:40312", Transport: "tcp", LastSeen: at},
	}}, "")
	const (
		when  = "2026-11-22T10:12:01Z"
		one   = oneIMEI + " connected gate-1 " + when + " [2001:db8::1]:1 tcp 8E 120 371 " + when + " FMB120\n"
		seven = "7 idle_timeout gate-2 " + when + " 192.0.2.1:1 udp - 0 0 " + when + ` \u001b[31m` + "\n"
		eight = "8 instance lost gate-3 " + when + " 192.0.2.1:1 tcp - 0 0 " + when + " -\n"
		nine  = "9 connected - " + when + " 198.51.100.7:40312 tcp - 0 0 " + when + " -\n"
		head  = "IMEI STATE INSTANCE SINCE REMOTE TRANSPORT CODEC FRAMES RECORDS LAST SEEN MODEL\n"
	)
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{nil, 0, head + one + nine},
		{[]string{"--state", "gone"}, 0, head + seven + eight},
		{[]string{"--all"}, 0, head + one + seven + eight + nine},
		{[]string{"--imei", "7"}, 1, head},
		{[]string{"--imei", "7", "--all"}, 0, head + seven},
		{[]string{"--imei", "6", "--all"}, 1, head},
		{[]string{"--state", "away"}, 2, ""},
		{[]string{"9"}, 2, ""},
	} {
		code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": address}, "",
			append([]string{"devices"}, c.args...)...)
		if got := columns.ReplaceAllString(out, " "); code != c.code || got != c.out {
			t.Errorf("%v: exit code %d\n%s\nwant\n%s%s", c.args, code, got, c.out, errOut)
		}
	}
	code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": address}, "", "devices", "--imei", "9", "--json")
	var p device.Presence
	if err := json.Unmarshal([]byte(out), &p); code != 0 || err != nil || p.IMEI != "9" || !p.ConnectedAt.Equal(at.Time) {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

// columns are set apart by two spaces and more.
var columns = regexp.MustCompile(`  +`)

// Two servers on one machine, of which neither says where its API is to be: the second one has none, and serves
// devices.
func TestDefaultAdminAddressInUse(t *testing.T) {
	if l, err := net.Listen("tcp", "127.0.0.1:9091"); err == nil { // unless somebody has it anyway
		defer l.Close()
	}
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "ADMIN_ADDRESS": "127.0.0.1:9091"})
	d := testkit.Dial(t, s.devices)
	d.MustLogin("356307042441013")
	d.Close()
	if s.admin != "" || !s.logged("no admin api, its default port is taken") {
		t.Errorf("the API is at %q", s.admin)
	}
}

package verdict

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

const imei = "356307042441013"

var now = time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)

// before is a moment that is so long past.
func before(d time.Duration) device.Time { return device.Time{Time: now.Add(-d)} }

// stored is a device that is connected and stores records, changed by the test.
func stored(change ...func(*device.Presence)) *device.Presence {
	p := &device.Presence{
		IMEI: imei, Connected: true, Instance: "a", Transport: "tcp", Address: "192.0.2.1:4000",
		ConnectedAt: before(time.Hour), FirstSeen: before(50 * time.Hour), LastSeen: before(time.Minute),
		LastStored: before(time.Minute), Counts: device.Counts{Stored: 371}, Logins: 2,
		Login:      device.Login{At: before(time.Hour), Answer: device.LoginAccepted, Address: "192.0.2.1:4000"},
		LastRecord: &device.LastRecord{Timestamp: before(time.Minute), Fix: "ok", Latitude: 546674250, Longitude: 252560283},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

// left is that it has left so long ago, for a reason.
func left(reason string, ago time.Duration) func(*device.Presence) {
	return func(p *device.Presence) {
		p.Connected, p.CloseReason, p.ClosedAt = false, reason, before(ago)
		for _, t := range []*device.Time{&p.LastSeen, &p.LastStored, &p.LastRecord.Timestamp, &p.ConnectedAt, &p.Login.At} {
			*t = before(ago + time.Minute)
		}
	}
}

// failing is that its last frame failed for a cause.
func failing(cause string) func(*device.Presence) {
	return func(p *device.Presence) {
		p.LastSeen = before(10 * time.Second)
		p.LastError = &device.Error{At: before(9 * time.Second), Cause: cause, Text: "why", First: []byte{0, 0, 0, 0}}
		p.Since = device.Counts{Refused: 5, RefusedReason: cause, DeadLettered: 5, WrongCRC: 1}
	}
}

func login(answer, reason string) func(*device.Presence) {
	return func(p *device.Presence) {
		p.Login = device.Login{At: before(time.Minute), Answer: answer, Reason: reason, Address: "192.0.2.1:4001"}
	}
}

func takeOvers(n int, froms ...string) func(*device.Presence) {
	return func(p *device.Presence) {
		p.TakenOver = uint64(n)
		for i := range n {
			p.TakeOvers = append(p.TakeOvers, device.TakeOver{At: before(time.Minute), From: froms[i%len(froms)], Instance: "a"})
		}
	}
}

func strangers(all ...stranger.Stranger) []stranger.Stranger { return all }

func knocker(cause stranger.Cause, imei, address string) stranger.Stranger {
	return stranger.Stranger{At: now.Add(-30 * time.Second), FirstAt: now.Add(-time.Minute), Count: 3, Address: address,
		Door: stranger.DoorTCP, Cause: cause, Text: "in words", First: stranger.Bytes{0x16, 3}, IMEI: imei, IMEIAs: "login"}
}

// situations are all that has to be told apart.
var situations = []struct {
	name     string
	presence *device.Presence
	who      []stranger.Stranger
	service  Service
	code     Code
	says     string // in the evidence
}{
	{"never seen", nil, nil, Service{}, "never_seen", ""},
	{"never seen, and somebody knocks", nil, strangers(knocker(stranger.CauseTLSOnPlain, "", "192.0.2.9:1")), Service{},
		"never_seen", "192.0.2.9:1 knocked at the tcp port 2026-11-22T10:59:30Z, 30 s ago, 3 times: in words"},
	{"never seen, and a scanner knocked long ago", nil, strangers(func() stranger.Stranger {
		s := knocker(stranger.CauseTLSOnPlain, "", "192.0.2.9:1")
		s.At = now.Add(-time.Hour)
		return s
	}()), Service{}, "never_seen", ""},
	{"another device knocks", nil, strangers(knocker(stranger.CauseOnHTTP, "356307042441014", "192.0.2.9:1")), Service{},
		"never_seen", ""},
	{"engine", stored(), nil, Service{Engine: "it hangs"}, "engine", "the engine says: it hangs"},
	{"engine, by the frame", stored(failing("timeout")), nil, Service{}, "engine", "5 records refused"},
	{"engine, before it left", stored(left("peer_closed", 3*time.Hour), func(p *device.Presence) {
		p.LastError = &device.Error{At: before(3 * time.Hour), Cause: "engine", Text: "why"}
	}), nil, Service{}, "left", "last error"},
	{"engine of another instance", stored(func(p *device.Presence) { p.Instance = "b" }), nil,
		Service{Engine: "it hangs", Stopping: true}, "elsewhere", "connected to b"},
	{"queue full", stored(), nil, Service{Queued: 10, Capacity: 10}, "queue_full", "10 records wait"},
	{"queue full, by the frame", stored(failing("overflow")), nil, Service{Capacity: 10}, "queue_full", "0 records wait"},
	{"stopping", stored(), nil, Service{Stopping: true}, "stopping", ""},
	{"panic", stored(left("panic", time.Minute)), nil, Service{}, "bug", ""},
	{"taken off the list", stored(left("revoked", time.Minute)), nil, Service{}, "taken_off_list", "revoked"},
	{"taken off the list and back", stored(left("revoked", time.Minute), login(device.LoginRejected,
		device.LoginNotListed)),
		nil, Service{}, "taken_off_list", "rejected, not_listed"},
	{"not listed", &device.Presence{Login: device.Login{At: before(time.Minute), Answer: device.LoginRejected,
		Reason: device.LoginNotListed}, FirstSeen: before(time.Minute), LastSeen: before(time.Minute)}, nil, Service{},
		"not_listed", "rejected, not_listed"},
	{"certificate", stored(left("rejected", time.Minute), login(device.LoginRejected, device.LoginCertificate)), nil,
		Service{}, "other_certificate", "certificate"},
	{"no room", stored(left("crowded_out", time.Minute)), nil, Service{}, "no_room", "crowded_out"},
	{"two devices", stored(takeOvers(3, "192.0.2.1:1", "198.51.100.1:1")), nil, Service{}, "two_devices", "3 take-overs"},
	{"two devices behind one address", stored(takeOvers(6, "192.0.2.1:1")), nil, Service{}, "two_devices", "6 take-overs"},
	{"one device that comes back", stored(takeOvers(3, "192.0.2.1:1")), nil, Service{}, "fine", ""},
	{"unknown codec", stored(failing("unknown_codec"), left("unknown_codec", 10*time.Second)), nil, Service{},
		"unknown_codec", "last error"},
	{"wrong crc", stored(failing("crc")), nil, Service{}, "wrong_crc", "1 frames with a wrong CRC"},
	{"wrong crc, closed", stored(failing("crc"), left("crc", 9*time.Second)), nil, Service{}, "wrong_crc",
		"began with 00000000"},
	{"wrong crc, and back", stored(failing("crc"), func(p *device.Presence) {
		p.ConnectedAt, p.LastSeen = before(time.Second), before(time.Second)
	}), nil, Service{}, "wrong_crc", ""},
	{"wrong crc before", stored(failing("crc"), func(p *device.Presence) {
		p.LastSeen, p.LastStored = before(time.Second), before(time.Second)
	}), nil, Service{}, "fine", ""},
	{"refused, and stored late", stored(failing("timeout"), func(p *device.Presence) {
		p.Since.Duplicate, p.LastSeen = 5, before(time.Second)
	}), nil, Service{}, "fine", "5 duplicate records"},
	{"cut off", stored(failing("cut_off"), left("peer_closed", 9*time.Second), func(p *device.Presence) {
		p.LastSeen = before(10 * time.Second)
	}), nil, Service{}, "cut_off", "cut_off: why"},
	{"lost boundaries", stored(left("bad_frame", time.Minute)), nil, Service{}, "lost_boundaries", ""},
	{"overload", stored(left("overload", time.Minute)), nil, Service{}, "overload", ""},
	{"unlisted", stored(failing("unlisted")), nil, Service{}, "unlisted_rate", ""},
	{"dead letter limit", stored(failing("dead_letters")), nil, Service{}, "dead_letter_limit", ""},
	{"dead letters", stored(failing("malformed")), nil, Service{}, "dead_letters", "5 records in dead letters"},
	{"dead letters, and an answer to a command", stored(failing("malformed"), func(p *device.Presence) {
		p.LastSeen = before(time.Second)
	}), nil, Service{}, "dead_letters", ""},
	{"duplicates", stored(func(p *device.Presence) { p.Since = device.Counts{Duplicate: 9, Repeated: 3} }), nil, Service{},
		"duplicates", "9 duplicate records"},
	{"one duplicate", stored(func(p *device.Presence) { p.Since = device.Counts{Duplicate: 9, Repeated: 1} }), nil,
		Service{}, "fine", "9 duplicate records"},
	{"zero records", stored(func(p *device.Presence) { p.Since.EmptyFrames = 3 }), nil, Service{}, "zero_records",
		"3 frames without a record"},
	{"login delayed", stored(login(device.LoginDelayed, device.LoginBackoff), func(p *device.Presence) {
		p.ConnectedAt, p.LastSeen, p.Login.DelayMS = before(time.Second), before(time.Second), 2000
	}), nil, Service{}, "login_delayed", "delayed, backoff, after 2s"},
	{"silent", stored(func(p *device.Presence) { p.ConnectedAt, p.LastSeen = before(time.Minute), before(time.Minute) }),
		nil, Service{}, "silent", ""},
	{"waiting", stored(func(p *device.Presence) { p.ConnectedAt, p.LastSeen = before(time.Second), before(time.Second) }),
		nil, Service{}, "waiting", ""},
	{"quiet", stored(func(p *device.Presence) { p.ConnectedAt, p.LastSeen = before(9*time.Hour), before(3*time.Hour) }),
		nil, Service{}, "quiet", "3 h ago"},
	{"clock unset", stored(func(p *device.Presence) { p.LastRecord.Clock = "unset" }), nil, Service{}, "clock_unset",
		"unset"},
	{"clock future", stored(func(p *device.Presence) { p.LastRecord.Clock = "future" }), nil, Service{}, "clock_future",
		"by its own clock"},
	{"no fix", stored(func(p *device.Presence) { p.LastRecord.Fix = "none" }), nil, Service{}, "no_fix", "fix none"},
	{"stale fix", stored(func(p *device.Presence) { p.LastRecord.Fix = "stale" }), nil, Service{}, "stale_fix",
		"fix stale"},
	{"instance lost", stored(left("", time.Minute), func(p *device.Presence) { p.InstanceLost = before(time.Minute) }),
		nil,
		Service{}, "instance_lost", "a was last heard of"},
	{"gone", stored(left("idle_timeout", 3*24*time.Hour)), nil, Service{}, "gone", "3 days ago: idle_timeout"},
	{"shed", stored(left("shed", time.Minute)), nil, Service{}, "shed", "shed"},
	{"left", stored(left("peer_closed", 3*time.Hour)), nil, Service{}, "left", "3 h ago: peer_closed"},
	{"elsewhere", stored(func(p *device.Presence) { p.Instance = "b" }), nil, Service{}, "elsewhere", "connected to b"},
	{"fine", stored(), nil, Service{}, "fine", "371 in all"},
	{"fine again, after it knocked", stored(), strangers(knocker(stranger.CauseCutOff, imei, "192.0.2.1:1")), Service{},
		"fine", ""},
	{"by udp", &device.Presence{IMEI: imei, FirstSeen: before(50 * time.Hour), LastSeen: before(50 * time.Hour),
		Datagrams: stored(func(p *device.Presence) { p.Claimed, p.Transport = true, "udp" })}, nil, Service{}, "fine",
		"by UDP"},
	{"by udp, one datagram with a message", stored(func(p *device.Presence) {
		p.Claimed, p.Transport, p.Login, p.ConnectedAt = true, "udp", device.Login{}, p.LastSeen
	}), nil, Service{}, "fine", "by UDP"},
	{"by udp lately, and rejected since", stored(left("peer_closed", 50*time.Hour), login(device.LoginRejected,
		device.LoginNotListed), func(p *device.Presence) {
		p.Datagrams = stored(left("idle_timeout", 2*time.Hour))
		p.Datagrams.Claimed, p.Datagrams.Login = true, device.Login{}
	}), nil, Service{}, "not_listed", "rejected, not_listed"},
	{"by udp since it was rejected", stored(left("peer_closed", 50*time.Hour), login(device.LoginRejected,
		device.LoginNotListed), func(p *device.Presence) {
		p.Datagrams = stored(func(p *device.Presence) { p.Claimed, p.Login, p.LastSeen = true, device.Login{}, before(0) })
	}), nil, Service{}, "fine", "by UDP"},
	{"plain on tls, from its last address", stored(left("peer_closed", time.Hour)),
		strangers(knocker(stranger.CausePlainOnTLS, "", "192.0.2.1:4001")), Service{}, "plain_on_tls", "is the one that"},
	{"mqtt, from its last address", stored(left("peer_closed", time.Hour)), strangers(func() stranger.Stranger {
		s := knocker(stranger.CauseForeign, "", "192.0.2.1:4001")
		s.Protocol = "MQTT"
		return s
	}()), Service{}, "foreign_protocol", "is the one that"},
	{"a scanner at its last address", stored(left("peer_closed", time.Hour)),
		strangers(knocker(stranger.CauseForeign, "", "192.0.2.1:4001")), Service{}, "left", ""},
	{"not listed, and now at the wrong door", stored(left("rejected", time.Hour), login(device.LoginRejected,
		device.LoginNotListed)), strangers(knocker(stranger.CauseOnHTTP, imei, "192.0.2.7:1")), Service{},
		"on_http_port", ""},
}

func TestSituations(t *testing.T) {
	reached := make(map[Code]bool)
	try := func(name string, k Known, code Code, says string) {
		t.Helper()
		k.IMEI, k.Now = imei, now
		k.Service.Instance = "a"
		v := Of(k)
		k.Missing = "it is away"
		if v := Of(k); !slices.Contains(v.Evidence, "what other instances know is missing: it is away") {
			t.Errorf("%s: %q does not say what is missing", name, v.Evidence)
		}
		if rank, severity := RankOf(k); rank != v.Rank || severity != v.Severity {
			t.Errorf("%s: rank %d, %s", name, rank, severity)
		}
		reached[code] = true
		if evidence := strings.Join(v.Evidence, "\n"); v.Code != code || !strings.Contains(evidence, says) {
			t.Errorf("%s: %s, want %s:\n%s", name, v.Code, code, evidence)
		}
		if text := fmt.Sprint(v); strings.Contains(text, "54667") || strings.Contains(text, "25256") {
			t.Errorf("%s: a position is shown: %s", name, text)
		}
	}
	for _, s := range situations {
		try(s.name, Known{Presence: s.presence, Knocks: NewKnocks(s.who, now), Service: s.service}, s.code, s.says)
	}
	for _, cause := range stranger.Causes {
		who, code := NewKnocks(strangers(knocker(cause, imei, "203.0.113.5:1")), now), Code(cause)
		if cause == stranger.CauseSilent {
			code = "silent_connection"
		}
		try("never seen, knocks "+string(cause), Known{Knocks: who}, code, "203.0.113.5:1 knocked")
		try("left, knocks "+string(cause), Known{Presence: stored(left("peer_closed", time.Hour)), Knocks: who}, code,
			"203.0.113.5:1 knocked")
	}
	for _, d := range Descriptions() {
		if !reached[d.Code] {
			t.Errorf("no situation is %s", d.Code)
		}
	}
}

// Each row has a code of its own and tells what to do, and what is fine stands behind what is not.
func TestTable(t *testing.T) {
	var codes []Code
	fine := false
	for _, d := range Descriptions() {
		if d.Text == "" || d.Next == "" || slices.Contains(codes, d.Code) {
			t.Errorf("%+v", d)
		}
		codes = append(codes, d.Code)
		if fine = fine || d.Severity == Fine; fine != (d.Severity == Fine) {
			t.Errorf("%s stands behind what is fine", d.Code)
		}
	}
}

// What is to be run names the device, and what is to be done does not.
func TestCommandsNameTheDevice(t *testing.T) {
	for imei, want := range map[string]string{
		imei: "its IMEI; tcp-ingestion send " + imei + " getinfo", "a b": "its IMEI; tcp-ingestion send IMEI getinfo",
	} {
		if got := commandsFor(imei, "its IMEI; tcp-ingestion send IMEI getinfo"); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 90 * time.Second: "90 s", 100 * time.Minute: "100 min", 30 * time.Hour: "30 h",
		72 * time.Hour: "3 days",
	} {
		if got := age(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// BenchmarkRankOf is what why --all asks for of each device, BenchmarkOf of those that it shows.
func BenchmarkRankOf(b *testing.B) {
	k := Known{IMEI: imei, Presence: stored(left("peer_closed", time.Hour)), Now: now}
	for b.Loop() {
		RankOf(k)
	}
}

func BenchmarkOf(b *testing.B) {
	k := Known{IMEI: imei, Presence: stored(left("peer_closed", time.Hour)), Now: now}
	for b.Loop() {
		Of(k)
	}
}

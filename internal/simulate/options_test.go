package simulate

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestDefaultsAreValid(t *testing.T) {
	o := Defaults()
	o.Address = "127.0.0.1:5027"
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
}

// TestValidate has every field wrong at once, and expects each to be named.
func TestValidate(t *testing.T) {
	wrong := Options{
		Address: "nowhere", Devices: -1, Duration: -1, Records: -1, Rate: -1, RecordsPerFrame: Range{Min: 5, Max: 256},
		Codecs: Mix{{Codec: teltonika.Codec7, Weight: 1}}, Order: "random", Reconnect: 2, Burst: -1, LoseACK: 1,
		Backlog: 1, KeepAlive: -1, ResponseTimeout: 0, Retry: 0, Drain: -1, Ramp: -1,
		Sources: make([]netip.Addr, 1), IMEIBase: 1,
		Start: time.Unix(-1, 0), CommandLatency: DurationRange{Min: 2, Max: 1}, CommandSilence: -1, CommandLate: 2,
		CommandLateBy: -1,
		CommandNack:   -1, CommandTwice: 0.5, CommandCarry: 2, Messages: -1,
		Transport: "pigeon", TLS: new(tls.Config), Loss: 1, Duplicate: 2, Reorder: -1, ReorderDelay: -1,
	}
	err := wrong.Validate()
	named := make(map[string]bool)
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var o *OptionError
		if !errors.As(e, &o) || o.Error() != o.Field+": "+o.Problem {
			t.Fatalf("%v is not an *OptionError", e)
		}
		named[o.Field] = true
	}
	free := map[string]bool{
		"Seed": true, "Acknowledged": true, "Executed": true, "Confirmed": true, "Progress": true, "Dial": true,
		"CommandIgnoreUnknown": true,
	}
	for f := range reflect.TypeFor[Options]().Fields() {
		if named[f.Name] == free[f.Name] {
			t.Errorf("field %s: named %v, can be wrong %v", f.Name, named[f.Name], !free[f.Name])
		}
	}
	if _, err := Run(t.Context(), wrong); err == nil {
		t.Error("a run with wrong options started")
	}
	gap := Defaults()
	gap.Address, gap.Burst = "h:1", 10
	if err := gap.Validate(); err == nil {
		t.Error("a burst without reconnections is accepted")
	}
}

// TestOptionsOfOtherTransports expects what would have no effect to be refused.
func TestOptionsOfOtherTransports(t *testing.T) {
	for field, set := range map[string]func(o *Options){
		"TLS":            func(o *Options) { o.Transport, o.TLS = UDP, new(tls.Config) },
		"Loss":           func(o *Options) { o.Loss = 0.1 },
		"Duplicate":      func(o *Options) { o.Transport, o.Duplicate = TLS, 0.1 },
		"Reorder":        func(o *Options) { o.Reorder = 0.1 },
		"CommandSilence": func(o *Options) { o.Transport, o.CommandSilence = UDP, 0.1 },
		"CommandLate":    func(o *Options) { o.Transport, o.CommandLate = UDP, 0.1 },
		"CommandNack":    func(o *Options) { o.Transport, o.CommandNack = UDP, 0.1 },
		"CommandTwice":   func(o *Options) { o.Transport, o.CommandTwice = UDP, 0.1 },
		"Messages":       func(o *Options) { o.Transport, o.Messages = UDP, 1 },
		"Executed":       func(o *Options) { o.Transport, o.Executed = UDP, io.Discard },
	} {
		o := Defaults()
		o.Address = "127.0.0.1:5027"
		set(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: error is %v", field, err)
		}
	}
}

func TestParseRange(t *testing.T) {
	for s, expected := range map[string]Range{"10": {10, 10}, "1-35": {1, 35}} {
		if got, err := ParseRange(s); err != nil || got != expected || got.String() != s {
			t.Errorf("%q is %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "x", "5-", "-5", "9-3", "1-2-3"} {
		if got, err := ParseRange(s); err == nil {
			t.Errorf("%q is %v, expected an error", s, got)
		}
	}
}

func TestParseDurationRange(t *testing.T) {
	for s, expected := range map[string]DurationRange{"2s": {2 * time.Second, 2 * time.Second},
		"50ms-2s": {50 * time.Millisecond, 2 * time.Second}} {
		if got, err := ParseDurationRange(s); err != nil || got != expected || got.String() != s {
			t.Errorf("%q is %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "5", "1s-", "-1s", "2s-1s", "1s-2s-3s"} {
		if got, err := ParseDurationRange(s); err == nil {
			t.Errorf("%q is %v, expected an error", s, got)
		}
	}
}

func TestParseMix(t *testing.T) {
	got, err := ParseMix("8:80, 8e:15,16")
	expected := Mix{{teltonika.Codec8, 80}, {teltonika.Codec8E, 15}, {teltonika.Codec16, 1}}
	if err != nil || !reflect.DeepEqual(got, expected) || got.String() != "8:80,8E:15,16:1" {
		t.Errorf("mix is %v, %v", got, err)
	}
	shares := make(map[teltonika.Codec]int)
	for n := range got.total() {
		shares[got.pick(n)]++
	}
	if shares[teltonika.Codec8] != 80 || shares[teltonika.Codec8E] != 15 || shares[teltonika.Codec16] != 1 {
		t.Errorf("shares are %v", shares)
	}
	for _, s := range []string{"", "9:1", "8:x", "8:-1", "8,,16"} {
		if got, err := ParseMix(s); err == nil {
			t.Errorf("%q is %v, expected an error", s, got)
		}
	}
}

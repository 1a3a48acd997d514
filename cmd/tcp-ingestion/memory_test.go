package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const answerFMC130 = "Ver:03.28.07_00 GPS:AXN_5.10 Hw:FMC130 Mod:42 IMEI:" + first + " Init:2026-1-1 0:0 Uptime:1"

// settingFile is a file that a setting names.
func settingFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	replaceFile(t, path, content)
	return path
}

func replaceFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// wantModel waits until the device's line in `devices` has the model.
func (s *server) wantModel(imei, model string) {
	s.t.Helper()
	testkit.Eventually(s.t, imei+" is a "+model, func() bool {
		_, out, _ := execute(s.t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "devices")
		for line := range strings.Lines(out) {
			if strings.Contains(line, imei) {
				return strings.Contains(line, model)
			}
		}
		return false
	})
}

// awaitSaved waits until what is known of devices by now is kept. Another device that logs in has something saved in
// any case.
func (s *server) awaitSaved() {
	s.t.Helper()
	const saves = `teltonika_device_store_calls_total{call="save",result="ok"}`
	before := s.metric(saves)
	other := testkit.Dial(s.t, s.devices)
	other.MustLogin("350000000000777")
	testkit.Eventually(s.t, "saved", func() bool { return s.metric(saves) > before })
	other.Close()
}

func TestSettingFilesOfDevices(t *testing.T) {
	t.Parallel()
	overrides := settingFile(t, "*\t9\t2\ttank.level\tnumber\t0\t0.05\t0\t%\n# and\n*\t10\t2\t-\n")
	models := settingFile(t, first+" FMB640\n35630* fmb\n")
	brokenOverrides := settingFile(t, "# one\n*\t9\t3\ttank.level\tnumber\n")
	brokenModels := settingFile(t, first+" FMB640\n"+second+" spaceship\n")
	missing := filepath.Join(t.TempDir(), "missing")
	redis := testkit.StartRedis(t)
	redis.Do("HSET", "devices:models", first, "FMB640", second, "spaceship")
	for _, c := range []struct {
		name     string
		settings map[string]string
		code     int
		says     []string
	}{
		{"both", map[string]string{"DICTIONARY_OVERRIDES": overrides, "DEVICE_MODELS": models}, 0,
			[]string{"2 rows, dictionary 2", "2 entries, file " + models}},
		{"a hash", map[string]string{"DEVICE_MODELS": "redis", "CONTROL_REDIS_URL": redis.URL()}, 0,
			[]string{"1 entries, redis hash devices:models", "1 entries are skipped", "spaceship"}},
		{"broken", map[string]string{"DICTIONARY_OVERRIDES": brokenOverrides, "DEVICE_MODELS": brokenModels}, 78,
			[]string{"DICTIONARY_OVERRIDES: " + brokenOverrides + ": line 2, column width",
				"DEVICE_MODELS: " + brokenModels + ": line 2"}},
		{"broken models", map[string]string{"DEVICE_MODELS": brokenModels}, 78,
			[]string{"DEVICE_MODELS: " + brokenModels + ": line 2", "spaceship"}},
		{"missing", map[string]string{"DEVICE_MODELS": missing}, 78,
			[]string{"DEVICE_MODELS", missing, "set it to the path"}},
		{"no redis", map[string]string{"DEVICE_MODELS": "redis"}, 78,
			[]string{"CONTROL_REDIS_URL", "DEVICE_MODELS is redis"}},
		{"redis away", map[string]string{"DEVICE_MODELS": "redis", "CONTROL_REDIS_URL": "redis://127.0.0.1:1"}, 1,
			[]string{"DEVICE_MODELS", "refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.settings["DATA_DIR"] = t.TempDir()
			code, out, errOut := execute(t, c.settings, "", "check")
			for _, says := range c.says {
				if code != c.code || !strings.Contains(out+errOut, says) {
					t.Errorf("exit code %d, want %d and %q:\n%s%s", code, c.code, says, out, errOut)
				}
			}
			if c.code == 78 && strings.Contains(out, "valid") {
				t.Errorf("wrong settings are said to be valid:\n%s%s", out, errOut)
			}
		})
	}
	s := launchServer(t, map[string]string{"DATA_DIR": t.TempDir(), "DICTIONARY_OVERRIDES": brokenOverrides,
		"DEVICE_MODELS": brokenModels})
	<-s.exited
	if code, log := s.cmd.ProcessState.ExitCode(), s.tail(10); code != 78 || !strings.Contains(log, "column width") ||
		!strings.Contains(log, "spaceship") {
		t.Errorf("serve: exit code %d:\n%s", code, log)
	}
}

// TestReloadOfModels has SIGHUP say what is wrong, and the last good map stay.
func TestReloadOfModels(t *testing.T) {
	t.Parallel()
	models := settingFile(t, first+" FMB640\n")
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "DEVICE_MODELS": models})
	defer s.connect(first).Close()
	s.wantModel(first, "FMB640")
	replaceFile(t, models, first+" spaceship\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	testkit.Eventually(t, "reloaded in part", func() bool { return s.logged("reloaded in part") })
	s.wantModel(first, "FMB640")
	replaceFile(t, models, first+" FMC130\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	testkit.Eventually(t, "reloaded", func() bool { return s.logged("reloaded") })
	s.wantModel(first, "FMC130")
	if n := s.metric(`teltonika_dictionary_refresh_total{result="failed",source="models"}`); n < 1 {
		t.Errorf("%v failed readings", n)
	}
}

// TestLearnModel has the service ask, once, and know the model after a crash; and a device that changes its hardware.
func TestLearnModel(t *testing.T) {
	t.Parallel()
	redis := testkit.StartRedis(t)
	for name, settings := range map[string]map[string]string{
		"embedded": {"DATA_DIR": t.TempDir(), "LEARN_MODEL": "true"},
		"redis":    {"REDIS_URL": redis.URL(), "LEARN_MODEL": "true", "INSTANCE_ID": "a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, settings)
			d := s.connect(first)
			d.Answer(d.ExpectCommand("getver"), answerFMC130)
			s.wantModel(first, "FMC130")
			s.awaitSaved()
			s = s.reborn(settings)
			d = s.connect(first)
			s.wantModel(first, "FMC130")
			s.wantNothingMore(first, d)
			s.order(first, asks("swapped", "getver"))
			d.Answer(d.ExpectCommand("getver"), strings.Replace(answerFMC130, "FMC130", "FTC921", 1))
			s.wantModel(first, "FTC921")
			if n := s.metric(`teltonika_getver_total{result="asked"}`); n != 0 {
				t.Errorf("asked %v times after the restart", n)
			}
		})
	}
}

// TestLearnModelOfAFleet asks all devices of a simulated fleet, and no one twice.
func TestLearnModelOfAFleet(t *testing.T) {
	t.Parallel()
	const devices = 30
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "LEARN_MODEL": "true"})
	f := startFleet(t, s.devices, devices, nil)
	testkit.Eventually(t, "all have answered", func() bool {
		return s.metric(`teltonika_getver_total{result="answered"}`) == devices
	})
	f.end(t)
	if n := s.metric(`teltonika_getver_total{result="asked"}`); n != devices {
		t.Errorf("%v questions to %d devices", n, devices)
	}
	s.wantBalance()
}

// TestDeviceStoreAway has devices log in and be acknowledged while the control Redis is frozen, as fast as ever.
func TestDeviceStoreAway(t *testing.T) {
	t.Parallel()
	redis := testkit.StartRedis(t)
	s := startServer(t, map[string]string{
		"ENGINE": "embedded", "DATA_DIR": t.TempDir(), "CONTROL_REDIS_URL": redis.URL(), "DEVICE_MODELS": "redis",
	})
	redis.Freeze()
	for i := range 50 {
		s.connect(fmt.Sprintf("%015d", 356307042000000+i)).Close() // an answer has to come within seconds
	}
	testkit.Eventually(t, "said", func() bool {
		return s.logged("device store does not work, devices are what their elements say")
	})
	redis.Thaw()
	testkit.Eventually(t, "works again", func() bool { return s.logged("device store works again") })
	if sum, n := s.metric("teltonika_ack_latency_seconds_sum"), s.metric("teltonika_ack_latency_seconds_count"); n < 50 ||
		sum/n > 1 { // a call of the store takes 5 s to fail
		t.Errorf("%v ACKs took %v s", n, sum)
	}
}

// sendElements sends a record of these elements, id and value in four bytes or two, and waits for its ACK.
func sendElements(d *testkit.Tracker, at *uint64, elements ...[2]uint64) {
	*at += 1000
	d.SendFrame(teltonika.Codec8E, recordOf(*at, elements...))
	d.ExpectACK(1)
}

func recordOf(at uint64, elements ...[2]uint64) teltonika.Record {
	r := teltonika.Record{Timestamp: at}
	for _, e := range elements {
		group := teltonika.Group4
		if e[0] == ambiguous[0] {
			group = teltonika.Group2
		}
		r.AddNumber(uint16(e[0]), group, e[1])
	}
	return r
}

var (
	ambiguous = [2]uint64{25, 300} // of Bluetooth sensors ×0.01 or of the engine ×0.1
	fmx6Only  = [][2]uint64{{80, 12}, {113, 900}}
)

// lastPayload is the record stored last.
func lastPayload(t testing.TB, s store) string {
	t.Helper()
	all := s.payloads(t)
	return all[len(all)-1]
}

// TestEvidenceOutlivesTheProcess: a record that means two things alone is named after a restart, by what the device
// sent before it, and so is one of a dead letter. Until that is loaded it is not named at all, and never wrong.
func TestEvidenceOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	const named, any = `"signals":{"can.engine.temperature":30},"device":{"family":"fmx6","by":"elements"}`, `"signals"`
	for _, st := range []store{embeddedStore(t), redisStore(t)} {
		t.Run(st.name, func(t *testing.T) {
			s, at := startServer(t, st.settings), uint64(1_700_000_000_000)
			d := login(t, s, buriedDevice, teltonika.LoginAccept)
			sendElements(d, &at, ambiguous)
			if p := lastPayload(t, st); strings.Contains(p, any) {
				t.Fatalf("named without evidence: %s", p)
			}
			sendElements(d, &at, fmx6Only...)
			s.awaitSaved()
			s = s.reborn(st.settings)
			d = login(t, s, buriedDevice, teltonika.LoginAccept)
			testkit.Eventually(t, "named again", func() bool {
				sendElements(d, &at, ambiguous)
				p := lastPayload(t, st)
				if strings.Contains(p, any) && !strings.Contains(p, named) {
					t.Errorf("named otherwise: %s", p)
				}
				return strings.Contains(p, named)
			})

			data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: []teltonika.Record{recordOf(1, ambiguous)}}
			frame, err := data.AppendFrame(nil)
			if err != nil {
				t.Fatal(err)
			}
			st.bury(t, "malformed", frame)
			st.deadLetters(t, 0, "replay", "--all")
			if p := lastPayload(t, st); !strings.Contains(p, `"timestamp":"1970`) || !strings.Contains(p, named) {
				t.Errorf("replayed: %s", p)
			}
		})
	}
}

// count is how many lines with the message have been logged.
func (s *server) count(message string) int {
	return strings.Count(s.tail(1<<30), fmt.Sprintf(`"msg":%q`, message))
}

// TestOverridesUnderLoad reloads them while a fleet sends. Each record is read by one of the two, never by some of
// both, and a broken file in between changes nothing.
func TestOverridesUnderLoad(t *testing.T) {
	t.Parallel()
	rows := func(name string) string {
		return "*\t66\t2\t" + name + ".voltage\tnumber\t0\t0.001\t0\tV\n*\t240\t1\t" + name + ".movement\tbool\n"
	}
	path, st := settingFile(t, rows("one")), embeddedStore(t)
	st.settings["DICTIONARY_OVERRIDES"] = path
	s := startServer(t, st.settings)
	f := startFleet(t, s.devices, 20, nil)
	const progress = 100 // records with each
	for _, c := range []struct{ content, logged string }{
		{rows("two"), "dictionary overrides read"},
		{rows("three") + "broken\n", "dictionary overrides cannot be used, the last good ones stay"},
		{rows("one"), "dictionary overrides read"},
		{rows("two"), "dictionary overrides read"},
	} {
		f.awaitProgress(t, progress)
		before := s.count(c.logged)
		replaceFile(t, path, c.content)
		testkit.Eventually(t, c.logged, func() bool { return s.count(c.logged) > before })
	}
	f.awaitProgress(t, progress)
	f.end(t)
	versions := map[string]string{}
	for _, p := range st.payloads(t) {
		var r struct {
			Signals map[string]any
			Dict    string
		}
		if err := json.Unmarshal([]byte(p), &r); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for name := range r.Signals {
			if set, _, _ := strings.Cut(name, "."); set == "one" || set == "two" || set == "three" {
				names[set] = true
			}
		}
		for set := range names {
			if len(names) > 1 || set == "three" || versions[r.Dict] != "" && versions[r.Dict] != set {
				t.Fatalf("by dictionary %s, of which others are %s: %s", r.Dict, versions[r.Dict], p)
			}
			versions[r.Dict] = set
		}
	}
	if len(versions) != 2 {
		t.Errorf("records by %v", versions)
	}
	s.wantBalance()
}

package examples

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// fuelLevel is the element that many devices have can.fuel.level in, in per cent.
const fuelLevel = 89

// sendDay has two devices send the same hours of the day that the examples' queries ask for. In between, one of them
// has no fix, and a clock of another century.
func sendDay(t *testing.T, s *service) {
	t.Helper()
	day := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	at := func(hour, minute int, latitude int32, fuel byte) teltonika.Record {
		r := teltonika.Record{
			Timestamp: uint64(day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute).UnixMilli()),
			Latitude:  latitude, Longitude: 252_797_000, Speed: 50, Satellites: 9,
		}
		r.AddNumber(fuelLevel, teltonika.Group1, uint64(fuel))
		return r
	}
	before, after, noFix := at(-1, 0, 546_000_000, 99), at(24, 0, 549_000_000, 10), at(9, 30, 546_870_000, 70)
	noFix.Satellites = 0
	future := at(9, 40, 0, 70)
	future.Timestamp += uint64(50 * 365 * 24 * time.Hour / time.Millisecond)
	for _, imei := range []string{"350000000000000", "350000000000001"} {
		d := testkit.Dial(t, s.devices)
		d.MustLogin(imei)
		d.SendFrame(teltonika.Codec8E, before, at(8, 0, 546_870_000, 80), at(8, 30, 546_880_000, 75),
			at(9, 0, 546_890_000, 70), noFix, future, after)
		d.ExpectACK(7)
	}
}

// wantDay fails unless the queries have found what sendDay has had sent.
func wantDay(t *testing.T, out string) {
	t.Helper()
	want := `device_id,time,latitude,longitude,fix
350000000000000,"2026-12-01 00:00:00",54.9,25.2797,ok
350000000000001,"2026-12-01 00:00:00",54.9,25.2797,ok
time,latitude,longitude,kmh
"2026-11-30 08:00:00",54.687,25.2797,50
"2026-11-30 08:30:00",54.688,25.2797,50
"2026-11-30 09:00:00",54.689,25.2797,50
hour,percent
08:00,77.5
09:00,70.0
`
	// The shells quote differently, and end lines so.
	plain := strings.NewReplacer("\r", "", `"`, "")
	if got := plain.Replace(out); got != plain.Replace(want) {
		t.Errorf("found is\n%s\nwanted is\n%s", got, want)
	}
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	sendDay(t, serve(t, "DATA_DIR="+data))
	wantDay(t, runQueries(t, "sqlite", "DATABASE", filepath.Join(data, "telemetry.db")))
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	postgres := testkit.StartPostgres(t)
	sendDay(t, serve(t, "ENGINE=postgres", "POSTGRES_URL="+postgres.URL(), "DATA_DIR="+t.TempDir()))
	wantDay(t, runQueries(t, "postgres", "POSTGRES_URL", postgres.URL()))
}

// runQueries runs all commands of an example, with another value of the variable that its README sets.
func runQueries(t *testing.T, name, variable, value string) string {
	t.Helper()
	script := strings.Join(blocks(t, name+"/README.md"), "\n")
	assignment := regexp.MustCompile(`(?m)^export ` + variable + `=.*$`)
	if !assignment.MatchString(script) {
		t.Fatalf("%s does not set %s", name, variable)
	}
	cmd := exec.Command("sh", "-e", "-c", assignment.ReplaceAllLiteralString(script, "export "+variable+"='"+value+"'"))
	cmd.Dir = name
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

package api_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
)

const recordSchema = "record.schema.json"

// goldenRecords are the records of the repository's test data, each with its file.
func goldenRecords(t *testing.T) map[string][]json.RawMessage {
	t.Helper()
	found := map[string][]json.RawMessage{}
	for _, pattern := range []string{"../internal/record/testdata/*.golden.json", "../format/testdata/*/record.json"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) < 9 {
			t.Fatal(pattern, names, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for decoder := json.NewDecoder(bytes.NewReader(text)); decoder.More(); {
				var record json.RawMessage
				if err := decoder.Decode(&record); err != nil {
					t.Fatal(name, err)
				}
				found[name] = append(found[name], record)
			}
		}
	}
	return found
}

func TestGoldenRecords(t *testing.T) {
	for name, records := range goldenRecords(t) {
		for _, record := range records {
			if err := apitest.Strict().Validate(recordSchema, record); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestMutatedRecords: a record without one of its members, or with one of another kind, is none any more.
func TestMutatedRecords(t *testing.T) {
	mutants := 0
	for name, records := range goldenRecords(t) {
		for _, record := range records {
			var members map[string]json.RawMessage
			if err := json.Unmarshal(record, &members); err != nil {
				t.Fatal(err)
			}
			for member := range members {
				for _, value := range []string{"", "null", "{\"a\":{}}", "[1]", "-99999999999", "\"\u00e4\"", "1.5e400"} {
					if mayBe(members, member, value) {
						continue
					}
					mutants++
					if apitest.AsPublished().Validate(recordSchema, mutate(t, members, member, value)) == nil {
						t.Errorf("%s: %s may be %q", name, member, value)
					}
				}
			}
		}
	}
	if mutants < 2000 {
		t.Errorf("only %d mutants", mutants)
	}
}

// mutate is a record with another value of a member, or without it.
func mutate(t *testing.T, members map[string]json.RawMessage, member, value string) []byte {
	t.Helper()
	mutant := map[string]json.RawMessage{}
	for name, v := range members {
		mutant[name] = v
	}
	if mutant[member] = json.RawMessage(value); value == "" {
		delete(mutant, member)
	}
	text, err := json.Marshal(mutant)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// mayBe reports whether a record is one also with that value of the member.
func mayBe(members map[string]json.RawMessage, member, value string) bool {
	switch value {
	case "":
		optional := []string{"clock", "signals", "faults", "raw"}
		if string(members["codec"]) == `"7"` {
			optional = append(optional, "altitude", "angle", "speed", "satellites")
		}
		return slices.Contains(optional, member)
	case "\"\u00e4\"":
		return member == "clock" // a word of a set that is open
	}
	return false
}

// TestOtherMutants are of what stands within a record's members.
func TestOtherMutants(t *testing.T) {
	const good = `{"device_id":"356307042441013","timestamp":"2019-06-10T10:04:46.000Z","latitude":54.667425,` +
		`"longitude":25.2560283,"altitude":172,"angle":248,"speed":0,"satellites":11,"priority":1,` +
		`"attributes":{"21":3,"78":{"__bigint":"0"},"385":{"__buffer_b64":"EQ=="}},"event_id":66,"fix":"ok",` +
		`"codec":"8E","received_at":"2026-11-30T20:19:42.652Z","id":"356307042441013-1560161086000-12b2e48e37022734",` +
		`"signals":{"gsm.signal.level":3},"faults":{"ibutton.code":"not_present"},` +
		`"device":{"family":"fmb","by":"elements"},"dict":"2026.11"}`
	apitest.Strict().Check(t, recordSchema, []byte(good))
	for _, c := range [][2]string{
		{`"21":3`, `"021":3`}, {`"21":3`, `"65536":3`}, {`"21":3`, `"21":4294967296`}, {`"21":3`, `"21":-1`},
		{`"21":3`, `"21":"3"`}, {`"21":3`, `"gsm":3`}, {`"21":3`, `"21":3.5`}, {`"0"`, `0`}, {`"0"`, `"-1"`}, {`"0"`, `"01"`},
		{`"EQ=="`, `"EQ"`}, {`"EQ=="`, `"11"`}, {`"ok"`, `"good"`}, {`"8E"`, `"9"`}, {`"8E"`, `"7"`}, {`10T10`, `10 10`},
		{`46.000Z`, `46Z`}, {`46.000Z`, `46.000+01:00`}, {`06-10T`, `13-10T`}, {`-12b2`, `-12B2`}, {`"id":"3`, `"id":"-3`},
		{`"gsm.signal.level"`, `"GSM"`}, {`"gsm.signal.level":3`, `"gsm.signal.level":null`}, {`:3},"f`, `:[3]},"f`},
		{`"not_present"`, `"not present"`}, {`"not_present"`, `1`}, {`"family":"fmb",`, ``}, {`"2026.11"`, `"11"`},
		{`"356307042441013",`, `"356307042441013 ",`}, {`,"longitude":25.2560283`, ``}, {`54.667425`, `215`},
		{`"priority":1`, `"priority":256`}, {`"signals":{"gsm.signal.level":3}`, `"signals":{}`},
	} {
		mutant := strings.Replace(good, c[0], c[1], 1)
		if mutant == good || apitest.AsPublished().Validate(recordSchema, []byte(mutant)) == nil {
			t.Errorf("%s may be %s", c[0], c[1])
		}
	}
	for _, addition := range []string{`,"new":1}`, `,"clock":"backwards"}`} {
		added := []byte(strings.TrimSuffix(good, "}") + addition)
		if err := apitest.AsPublished().Validate(recordSchema, added); err != nil {
			t.Errorf("%s may be added: %v", addition, err)
		}
		if apitest.Strict().Validate(recordSchema, added) == nil {
			t.Errorf("%s may be added without the schema", addition)
		}
	}
}

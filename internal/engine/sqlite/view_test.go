package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// insert stores rows as another program would.
func insert(t *testing.T, path, values string, args ...any) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	_, err := db.ExecContext(t.Context(), "INSERT INTO records (id, device_id, ts, payload) VALUES "+values, args...)
	if err != nil {
		t.Fatal(err)
	}
}

// TestSignalsView shows every kind of value as a number or as a text, never as both.
func TestSignalsView(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 1)) // it has no signals
	insert(t, e.path, `('a', '1', 10, ?), ('b', '2', 20, ?),
		('c', '3', 30, 'no JSON'), ('d', '4', 40, NULL), ('e', '5', 50, '{"signals":{}}')`,
		`{"signals":{"din.1":true,"dout.3":false,"external.powersource.voltage":12.044,"gsm.signal.level":5}}`,
		`{"attributes":{"66":1},"signals":{"sleep.mode":"deep","can.security.flags.p4":["ignition","engine_running"],`+
			`"ibutton.code":"9007199254740993","altitude":-3,"empty":[]},"faults":{"onewire.temperature.2":"not_connected"}}`)
	want := []string{
		"1 10 din.1 1 -", "1 10 dout.3 0 -", "1 10 external.powersource.voltage 12.044 -", "1 10 gsm.signal.level 5 -",
		"2 20 altitude -3 -", `2 20 can.security.flags.p4 - ["ignition","engine_running"]`, "2 20 empty - []",
		"2 20 ibutton.code - 9007199254740993", "2 20 sleep.mode - deep",
	}
	got := query[string](t, e.path, `SELECT format('%s %d %s %s %s', device_id, ts, name,
		coalesce(num, '-'), coalesce(txt, '-')) FROM signals ORDER BY ts, name`)
	if !slices.Equal(got, want) {
		t.Errorf("the signals are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestReceivedAt compares the column with the encoder's time, to the millisecond, and with what JSON's own functions
// find.
func TestReceivedAt(t *testing.T) {
	e := start(t)
	first := time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)
	var want []int64
	batch, _ := smallRecords(0)
	batch.Records = nil
	for i := range 1000 {
		at := first.Add(time.Duration(i) * 86_461_001 * time.Millisecond) // another day, time and millisecond each
		var encoder record.Encoder
		encoder.Begin(record.Origin{DeviceID: device, Codec: teltonika.Codec8, Received: at})
		var err error
		_, batch.Records, err = encoder.Append(nil, batch.Records, &teltonika.Record{Timestamp: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, at.UnixMilli())
	}
	storeAll(t, e, enginetest.Sized(batch))
	if got := query[int64](t, e.path, "SELECT received_at FROM records ORDER BY seq"); !slices.Equal(got, want) {
		t.Errorf("received_at is %d, want %d", got, want)
	}
	insert(t, e.path, `('x', '1', 1, 'no JSON'), ('y', '1', 1, NULL), ('z', '1', 1, '{"received_at":"yesterday"}')`)
	const broken = "SELECT count(*) FROM records WHERE received_at IS NULL AND id IN ('x', 'y', 'z')"
	if n := query[int64](t, e.path, broken)[0]; n != 3 {
		t.Errorf("%d of 3 records without a time have none", n)
	}
}

// TestTableOfRecordsStaysCompatible writes a row as before there were computed columns.
func TestTableOfRecordsStaysCompatible(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	db := connect(t, e.path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "INSERT INTO records VALUES (7, 'a', '1', 2, '8', '{}')"); err != nil {
		t.Fatal(err)
	}
	var columns string
	err := db.QueryRowContext(t.Context(), "SELECT group_concat(name) FROM pragma_table_info('records')").Scan(&columns)
	if err != nil || columns != "seq,id,device_id,ts,codec,payload" {
		t.Errorf("the stored columns are %q, %v", columns, err)
	}
}

// TestLatestOfADeviceUsesTheIndex looks at the plans of the queries that the page about the tables recommends.
func TestLatestOfADeviceUsesTheIndex(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 10))
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "embedded.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for i, block := range strings.Split(string(page), "```sql\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		db := connect(t, e.path)
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text)
		if err != nil {
			t.Fatalf("query %d: %v\n%s", i, err, text)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		db.Close()
		if strings.Contains(text, "device_id") && !strings.Contains(fmt.Sprint(plan), deviceIndexName) {
			t.Errorf("query %d does not use the index: %q\n%s", i, plan, text)
		}
		checked++
	}
	if checked < 4 {
		t.Errorf("the page has %d queries", checked)
	}
}

package meaning

import (
	"encoding/csv"
	"encoding/hex"
	"os"
	"strconv"
	"testing"
)

// readCSV gives each row of a file with a header, by column.
func readCSV(t testing.TB, name string) []map[string]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, fields := range rows[1:] {
		row := map[string]string{}
		for i, name := range rows[0] {
			row[name] = fields[i]
		}
		all = append(all, row)
	}
	return all
}

func family(t testing.TB, name string) Family {
	t.Helper()
	f, err := ParseFamily(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func element(t testing.TB, id, width string) (uint16, Width) {
	t.Helper()
	n, err := strconv.ParseUint(id, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ParseWidth(width)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n), w
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden decodes every row of testdata/golden.csv: by its family's definition, and as a device of the family would.
func TestGolden(t *testing.T) {
	rows := readCSV(t, "testdata/golden.csv")
	if len(rows) < 231 {
		t.Fatalf("%d rows", len(rows))
	}
	silent := 0
	for _, row := range rows {
		f := family(t, row["family"])
		id, w := element(t, row["id"], row["width"])
		raw := unhex(t, row["raw"])
		definitions := Embedded().Lookup(f, "", id, w)
		if len(definitions) == 0 {
			t.Errorf("%v: no definition", row)
			continue
		}
		checkGolden(t, row, definitions[0].Decode(raw, false))
		reader := Resolve(Embedded(), "356307042441013", Identity{Family: f, By: ByMap}, &Evidence{})
		if v, why := reader.Decode(id, w, raw); why == Named {
			checkGolden(t, row, v)
		} else {
			silent++
			t.Logf("%v: %v", row, why)
		}
	}
	if silent > len(rows)/50 {
		t.Errorf("%d of %d are silent", silent, len(rows))
	}
}

func checkGolden(t *testing.T, row map[string]string, v Value) {
	t.Helper()
	text := ""
	if v.Fault == "" {
		text = v.Text()
	}
	unit := v.Unit
	if text == "" {
		unit = row["unit"] // the rows give the unit of what is missing
	}
	if v.Name != row["name"] || text != row["value"] || unit != row["unit"] || v.Fault != row["reason"] {
		t.Errorf("%v:\n got %q %q %q %q", row, v.Name, text, v.Unit, v.Fault)
	}
}

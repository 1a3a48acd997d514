package dictionary

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// TestTSV: the table is the dictionary's own file, byte for byte.
func TestTSV(t *testing.T) {
	want, err := os.ReadFile("../../meaning/dictionary.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := WriteTSV(&got, Filter{}.Rows(meaning.Embedded())); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%v, %d bytes, want %d", err, got.Len(), len(want))
	}
}

func TestFilter(t *testing.T) {
	id := uint16(10353)
	names := func(i meaning.Identity) (all []string) {
		for _, d := range (Filter{Identity: i, ID: &id}).Rows(meaning.Embedded()) {
			all = append(all, d.Name)
		}
		return all
	}
	for _, tt := range []struct {
		identity meaning.Identity
		want     string
	}{
		{meaning.Identity{}, "reefer.compressor.rpm reefer.compressor.config"},
		{meaning.Identity{Family: meaning.FMX6}, "reefer.compressor.rpm reefer.compressor.config"},
		{meaning.Identity{Family: meaning.FMX6, Model: "FMC650"}, "reefer.compressor.rpm"},
		{meaning.Identity{Family: meaning.FMX6, Model: "FMB640"}, "reefer.compressor.config"},
		{meaning.Identity{Family: meaning.TAT}, ""},
	} {
		if got := strings.Join(names(tt.identity), " "); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.identity, got, tt.want)
		}
	}
}

// TestJSON: every row is an object with what the row has.
func TestJSON(t *testing.T) {
	rows := Filter{}.Rows(meaning.Embedded())
	var got bytes.Buffer
	if err := WriteJSON(&got, rows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(got.String(), "\n"), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines, want %d", len(lines), len(rows))
	}
	for i, line := range lines {
		var o rowObject
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		d := rows[i]
		if o.ID != d.ID || o.Name != d.Name || len(o.Enum) != len(d.Enum) || len(o.Flags) != len(d.Flags) ||
			len(o.Invalid)+len(o.Legacy) != len(d.Invalid) || len(o.Families) != len(d.Families) {
			t.Errorf("%s is not %+v", line, d)
		}
	}
	id := uint16(25)
	got.Reset()
	fmb := Filter{Identity: meaning.Identity{Family: meaning.FMB}, ID: &id}
	if err := WriteJSON(&got, fmb.Rows(meaning.Embedded())); err != nil {
		t.Fatal(err)
	}
	// 2000 is a reading in the new scale: 20 °C.
	if !strings.Contains(got.String(), `"invalid":{"32765":`) ||
		!strings.Contains(got.String(), `"legacy_invalid":{"2000":`) {
		t.Errorf("%s", got.String())
	}
}

// TestSQL reads the rows as COPY does.
func TestSQL(t *testing.T) {
	rows := []*meaning.Definition{{
		ID: 7, Width: meaning.Width2, Name: "a.b", Title: "tab\there, a \\ and\na line", Type: meaning.Enum, Signed: true,
		Enum: []meaning.Word{{Number: -1, Text: "x"}}, Families: []meaning.Family{meaning.FMB, meaning.FT}, Unit: "°C",
		Offset: "-40",
	}, {ID: 8, Width: meaning.WidthX, Name: "c", Models: []string{"FMB640", "FMC650"}}}
	var out bytes.Buffer
	if err := WriteSQL(&out, "2026.11", rows); err != nil {
		t.Fatal(err)
	}
	_, data, _ := strings.Cut(out.String(), "FROM stdin;\n")
	data, end, _ := strings.Cut(data, "\\.\n")
	want := `7	2	a.b	tab\there, a \\ and\na line	enum	true	1	-40	°C	{"-1":"x"}	\N	\N	\N	{fmb,ft}	\N	own	2026.11
8	x	c		number	false	1	0	\N	\N	\N	\N	\N	\N	{FMB640,FMC650}	own	2026.11
`
	if data != want || end != "COMMIT;\n" {
		t.Errorf("got\n%s\nwant\n%s\nthen %q", data, want, end)
	}
	columns := strings.Count(out.String()[:strings.Index(out.String(), ");")], "\n\t")
	out.Reset()
	if err := WriteSQL(&out, "2026.11", Filter{}.Rows(meaning.Embedded())); err != nil {
		t.Fatal(err)
	}
	_, data, _ = strings.Cut(out.String(), "FROM stdin;\n")
	for line := range strings.Lines(data) {
		if line == "\\.\n" {
			break
		}
		if n := strings.Count(line, "\t") + 1; n != columns {
			t.Fatalf("%d fields, the table has %d columns: %s", n, columns, line)
		}
	}
}

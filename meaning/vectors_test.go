package meaning

import (
	"bufio"
	"compress/gzip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestVectors compares every definition, at the edges of its width, error codes and words, with the values of another
// implementation of the same rules. testdata/vectors.tsv.gz has the definition's place in the dictionary, the raw
// bytes, the value as UTF-8 in hexadecimal digits, its unit and its fault.
func TestVectors(t *testing.T) {
	file, err := os.Open("testdata/vectors.tsv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	definitions := slices.Collect(Embedded().Definitions())
	seen := map[int]bool{}
	for lines := bufio.NewScanner(unzipped); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		place, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		seen[place] = true
		d := definitions[place]
		v := d.Decode(unhex(t, fields[1]), false)
		text := ""
		if v.Fault == "" {
			text = v.Text()
		}
		if want := string(unhex(t, fields[2])); text != want || v.Unit != fields[3] || v.Fault != fields[4] {
			t.Errorf("%d of width %v, %s, raw %s: %q %q %q, expected %q %q %q", d.ID, d.Width, d.Name, fields[1],
				text, v.Unit, v.Fault, want, fields[3], fields[4])
		}
	}
	if len(seen) != len(definitions) {
		t.Errorf("%d of %d definitions", len(seen), len(definitions))
	}
}

// TestCandidates compares the families that devices may be of, and which is the most likely, with the same.
func TestCandidates(t *testing.T) {
	text, err := os.ReadFile("testdata/families.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		pairs, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		var e Evidence
		for text := range strings.FieldsSeq(pairs) {
			id, width, _ := strings.Cut(text, "/")
			n, w := element(t, id, width)
			e.Add(Embedded(), Element{ID: n, Width: w})
		}
		var got []string
		for _, score := range e.Scores(Embedded()) {
			if score.Candidate {
				got = append(got, score.Family.String())
			}
		}
		r := Resolve(Embedded(), "", Identity{}, &e)
		if strings.Join(got, " ") != want || r.Family().String() != got[0] || len(r.Candidates()) != len(got) {
			t.Errorf("%s: %q, %v, expected %q", pairs, got, r, want)
		}
	}
}

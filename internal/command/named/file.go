package named

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/regularfile"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// What a file of names may have at most.
const (
	maxFile = 1 << 20 // bytes
	maxRows = 1000
)

var (
	columns  = regexp.MustCompile(`\t+| {2,}`)
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	modelish = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_-]{1,31}$`)
)

// isModel reports whether it is one of a family, so that a row of a mistyped one is not there for nobody.
func isModel(text string) bool { return modelish.MatchString(text) && meaning.FamilyOfModel(text) != 0 }

// Load lays a file over the embedded table. An empty path is none.
func Load(path string) (*Table, error) {
	if path == "" {
		return Embedded(), nil
	}
	text, err := regularfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	t, err := Embedded().Override(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Override is the table with the rows of a user over it: a line each, of up to four columns that are set apart by tabs
// or two and more spaces. # begins a comment line.
//
//	immobilize  FMC130,FMC125  setdigout 0   switches output 1 off: the relay is open at rest
//	siren       fmb            setdigout ?1[ ? {seconds:1-60}]
//	restart     *              -
//
// A row of the file that matches a device wins over those of the table. Among them a row with a model wins over one
// with a family, that over one with *, and a later one over an earlier one. - as text takes a name away. The error
// names the line.
func (t *Table) Override(r io.Reader) (*Table, error) {
	next := &Table{rows: slices.Clone(t.rows)}
	layer := 0
	if n := len(t.rows); n > 0 {
		layer = t.rows[n-1].layer + 1
	}
	lines := bufio.NewScanner(io.LimitReader(r, maxFile+1))
	lines.Buffer(nil, maxFile)
	read := 0
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if read += len(lines.Bytes()) + 1; read > maxFile || len(next.rows) > maxRows {
			return nil, fmt.Errorf("more than %d bytes, or %d rows", maxFile, maxRows)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		row, err := parseRow(columns.Split(line, 4))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		row.layer = layer
		next.rows = append(next.rows, row)
	}
	return next, lines.Err()
}

func parseRow(cells []string) (*Row, error) {
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if len(cells) < 3 {
		return nil, errors.New("needs a name, families or models, and a text, with two spaces or more between them")
	}
	row := &Row{Name: cells[0], Match: strings.Split(cells[1], ",")}
	if !nameForm.MatchString(row.Name) {
		return nil, fmt.Errorf("%.40q is no name: use up to 32 small letters, digits and dashes", row.Name)
	}
	for _, m := range row.Match {
		if _, err := meaning.ParseFamily(m); err != nil && m != "*" && !isModel(m) {
			return nil, fmt.Errorf("%.40q is neither a family (fmb, fmx6 …) nor a model (FMC130) nor *", m)
		}
	}
	if len(cells) == 4 {
		row.Does = cells[3]
	}
	if row.none = cells[2] == "-"; row.none {
		return row, nil
	}
	var err error
	if row.text, err = parseTemplate(cells[2]); err != nil {
		return nil, fmt.Errorf("the text %.40q %w", cells[2], err)
	}
	return row, nil
}

package dictionary

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// sqlHead makes the table, and takes out the rows of an earlier dictionary.
const sqlHead = `-- What elements mean, by dictionary %s: for psql, on PostgreSQL or TimescaleDB.
BEGIN;
CREATE TABLE IF NOT EXISTS io_elements (
	id integer NOT NULL,
	width text NOT NULL, -- bytes: 1, 2, 4, 8, or x for a length of its own
	name text NOT NULL, -- the key in a record's signals
	title text NOT NULL, -- the vendor's name
	type text NOT NULL,
	signed boolean NOT NULL,
	multiplier numeric NOT NULL, -- value = raw * multiplier + addend
	addend numeric NOT NULL,
	unit text, -- of the value
	enum jsonb, -- word by number
	flags jsonb, -- word by bit, 0 the lowest
	invalid jsonb, -- reason by raw number: these are no values
	legacy_invalid jsonb, -- the same for firmware before 03.28, with the multiplier 0.1
	families text[] NOT NULL,
	models text[], -- the only ones that it is for; NULL: all of the families
	confidence text NOT NULL,
	dict text NOT NULL -- the dictionary's version, as in a record
);
DELETE FROM io_elements;
COPY io_elements FROM stdin;
`

const sqlEnd = "\\.\nCOMMIT;\n"

// WriteSQL writes rows as a table for psql. Written again, it replaces the rows that are there.
func WriteSQL(w io.Writer, version string, rows []*meaning.Definition) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, sqlHead, version)
	for _, d := range rows {
		fmt.Fprintln(out, strings.Join(copyFields(d, version), "\t"))
	}
	fmt.Fprint(out, sqlEnd)
	return out.Flush()
}

// copyFields are a row's fields as COPY takes them.
func copyFields(d *meaning.Definition, version string) []string {
	o := newRowObject(d)
	multiplier, addend := d.Multiplier, d.Offset
	if multiplier == "" {
		multiplier = "1"
	}
	if addend == "" {
		addend = "0"
	}
	return []string{
		fmt.Sprint(d.ID), o.Width, copyText(o.Name), copyText(o.Title), o.Type, fmt.Sprint(o.Signed), multiplier, addend,
		copyOrNull(o.Unit), copyJSON(o.Enum), copyJSON(o.Flags), copyJSON(o.Invalid), copyJSON(o.Legacy),
		copyArray(o.Families), copyArray(o.Models), o.Confidence, copyText(version),
	}
}

const copyNull = `\N`

// copyText escapes what COPY would take for something else.
func copyText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`).Replace(s)
}

func copyOrNull(s string) string {
	if s == "" {
		return copyNull
	}
	return copyText(s)
}

func copyJSON(m map[string]string) string {
	if len(m) == 0 {
		return copyNull
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // there are only texts
	}
	return copyText(string(b))
}

// copyArray is an array of words without anything that would have to be quoted.
func copyArray(words []string) string {
	if len(words) == 0 {
		return copyNull
	}
	return "{" + strings.Join(words, ",") + "}"
}

package paste

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func printable(b []byte) string {
	text := []byte(string(b))
	for i, c := range text {
		if c < ' ' || c > '~' {
			text[i] = '.'
		}
	}
	return string(text)
}

// dumpOf is the output of hexdump -C, or that of Wireshark without its text.
func dumpOf(t testing.TB, digits, offset string, columns bool) string {
	b := bytesOf(t, digits)
	var out strings.Builder
	for at := 0; at < len(b); at += 16 {
		row := b[at:min(at+16, len(b))]
		left := apart(hex.EncodeToString(row[:min(8, len(row))]), "", " ") + " "
		if len(row) > 8 {
			left += apart(hex.EncodeToString(row[8:]), "", " ")
		}
		line := fmt.Sprintf(offset, at) + fmt.Sprintf("%-49s", left)
		if columns {
			line += " |" + printable(row) + "|"
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if columns {
		fmt.Fprintf(&out, "%08x\n", len(b))
	}
	return out.String()
}

// xxdOf is the output of xxd, and of tcpdump -X.
func xxdOf(t testing.TB, digits, offset string) string {
	b := bytesOf(t, digits)
	var out strings.Builder
	for at := 0; at < len(b); at += 16 {
		row := b[at:min(at+16, len(b))]
		words := ""
		for i := 0; i < len(row); i += 2 {
			words += hex.EncodeToString(row[i:min(i+2, len(row))]) + " "
		}
		fmt.Fprintf(&out, offset+"%-40s %s\n", at, words, printable(row))
	}
	return out.String()
}

// odOf is the output of od -t x1.
func odOf(t testing.TB, digits, offset string) string {
	b := bytesOf(t, digits)
	var out strings.Builder
	for at := 0; at < len(b); at += 16 {
		fmt.Fprintf(&out, offset+"%s\n", at, apart(hex.EncodeToString(b[at:min(at+16, len(b))]), " ", ""))
	}
	fmt.Fprintf(&out, offset+"\n", len(b))
	return out.String()
}

// TestOffsetsAreNoData: also where the text beside the bytes looks like hex, and where a dump is one line or several.
func TestOffsetsAreNoData(t *testing.T) {
	zeros := strings.Repeat("30", 40) // whose text is 0000000000000000
	for name, text := range map[string]string{
		"hexdump": dumpOf(t, zeros, "%08x  ", true), "xxd": xxdOf(t, zeros, "%08x: "),
		"tcpdump": xxdOf(t, zeros, "\t0x%04x:  "), "wireshark": dumpOf(t, zeros, "%04x   ", false),
	} {
		found := read(text)
		if len(found) != 1 || hex.EncodeToString(found[0].Bytes) != zeros {
			t.Errorf("%s: %+v\n%s", name, found, text)
		}
	}
	for text, want := range map[string]string{
		"00000000: 000f 3335 3230 3933 3038 3134 3532 3235  ..35209308145225\n" +
			"00000010: 31                                       1\n": login,
		"00000010: 33                                       3": "33",
		"00000000  00 0f 33 35":                                "000f3335",
		"00000000  00 0f 33 35  |..35|\n00000004\n":            "000f3335",
		"0000   00 0f 33 35   ..35":                            "000f3335",
		"0000000 0f00 3533\n0000004\n":                         "000f3335",
	} {
		if found := read(text); len(found) != 1 || hex.EncodeToString(found[0].Bytes) != want {
			t.Errorf("%q: %+v", text, found)
		}
	}
}

// TestDumpsInARow are told apart by their offsets.
func TestDumpsInARow(t *testing.T) {
	one, other := dumpOf(t, login, "%08x  ", true), dumpOf(t, frame, "%08x  ", true)
	found := read(one + other + "\n" + xxdOf(t, login, "%08x: ") + frame)
	var got []string
	for _, p := range found {
		got = append(got, fmt.Sprintf("%d %x", p.Line, p.Bytes))
	}
	want := fmt.Sprintf("1 %s|4 %s|10 %s|12 %s", login, frame, login, frame)
	if strings.Join(got, "|") != want {
		t.Errorf("\n got %s\nwant %s", strings.Join(got, "|"), want)
	}
}

// TestRepeatedRows: hexdump -C prints a star for rows that are like the one before.
func TestRepeatedRows(t *testing.T) {
	text := "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n" +
		"00000030  01                                                |.|\n00000031\n"
	if found := read(text); len(found) != 1 || hex.EncodeToString(found[0].Bytes) != strings.Repeat("00", 48)+"01" {
		t.Errorf("%+v", found)
	}
	text = "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\nffffffffffff0  01  |.|\n"
	total := 0
	for _, p := range read(text) {
		total += len(p.Bytes)
	}
	if total > 32 {
		t.Errorf("%d bytes of a star", total)
	}
}

// TestPartOfADump: one that does not begin at its beginning says so.
func TestPartOfADump(t *testing.T) {
	found := read("00000010: 3100 0000 0000 0000 2608 0100 0001 8bcf  1.......&.......\n")
	if len(found) != 1 || !strings.Contains(found[0].Hint, "begins at offset 16") {
		t.Errorf("%+v", found)
	}
}

package record

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// What the elements mean, written a second time: from the dictionary's file and the published rules alone, with maps,
// big numbers and strings. It does not know of overrides, models and old firmware, which are tested with the library.

type referenceRow map[string]string

// referencePair is an element's id and width.
type referencePair struct {
	id    int
	width string
}

var referenceFamilies = []string{"fmb", "fmx6", "tat", "ft", "fm63", "fm36", "fm11"}

var referencePriors = map[string]float64{
	"fmb": 0, "fmx6": -1, "tat": -1.5, "ft": -1.5, "fm63": -2.5, "fm36": -3, "fm11": -3.5,
}

// referenceDictionary is what each family knows: the rows of a pair, and which ids it has at all.
var referenceDictionary = sync.OnceValue(func() (d struct {
	rows map[string]map[referencePair][]referenceRow
	ids  map[string]map[int]bool
}) {
	file, err := os.Open("../../meaning/dictionary.tsv")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	lines := csv.NewReader(file)
	lines.Comma = '\t'
	all, err := lines.ReadAll()
	if err != nil {
		panic(err)
	}
	d.rows, d.ids = map[string]map[referencePair][]referenceRow{}, map[string]map[int]bool{}
	for _, f := range referenceFamilies {
		d.rows[f], d.ids[f] = map[referencePair][]referenceRow{}, map[int]bool{}
	}
	for _, fields := range all[1:] {
		row := referenceRow{}
		for i, column := range all[0] {
			row[column] = fields[i]
		}
		id, _ := strconv.Atoi(row["id"])
		for _, f := range strings.Fields(row["families"]) {
			p := referencePair{id, row["width"]}
			d.rows[f][p] = append(d.rows[f][p], row)
			d.ids[f][id] = true
		}
	}
	return d
})

// referenceDevices are the pairs that each device has sent.
var referenceDevices sync.Map

// referenceMeaning gives the members signals, faults, device and dict, those that are there.
func referenceMeaning(o Origin, r *teltonika.Record) map[string]any {
	if o.Meaning == nil || o.Codec == teltonika.Codec7 {
		return nil
	}
	kept, _ := referenceDevices.LoadOrStore(o.Meaning, map[referencePair]bool{})
	seen := kept.(map[referencePair]bool)
	var ids []uint16
	last := map[uint16]teltonika.Element{}
	for _, el := range r.Elements {
		if _, repeated := last[el.ID]; !repeated {
			ids = append(ids, el.ID)
		}
		last[el.ID] = el
	}
	for _, el := range last {
		if w := referenceWidth(el); w != "16" {
			seen[referencePair{int(el.ID), w}] = true
		}
	}
	families := referenceCandidates(seen)
	var signals, faults []string
	for _, id := range ids {
		name, value, fault := referenceAgree(families, r, last[id])
		switch {
		case fault != "":
			faults = append(faults, member(name, fault))
		case value != "":
			signals = append(signals, strconv.Quote(name)+":"+value)
		}
	}
	if len(signals)+len(faults) == 0 {
		return nil
	}
	values := map[string]any{
		"device": json.RawMessage(`{"family":"` + families[0] + `","by":"elements"}`), "dict": "2026.11",
	}
	if len(signals) > 0 {
		values["signals"] = json.RawMessage("{" + strings.Join(signals, ",") + "}")
	}
	if len(faults) > 0 {
		values["faults"] = json.RawMessage("{" + strings.Join(faults, ",") + "}")
	}
	return values
}

func referenceWidth(el teltonika.Element) string {
	return map[teltonika.Group]string{teltonika.Group1: "1", teltonika.Group2: "2", teltonika.Group4: "4",
		teltonika.Group8: "8", teltonika.Group16: "16", teltonika.GroupX: "x"}[el.Group]
}

func referenceCandidates(seen map[referencePair]bool) []string {
	d := referenceDictionary()
	score := map[string]float64{}
	best := -1e9
	for _, f := range referenceFamilies {
		score[f] = referencePriors[f]
		for p := range seen {
			switch {
			case d.rows[f][p] != nil:
			case d.ids[f][p.id]:
				score[f] -= 6
			default:
				score[f] -= 1.5
			}
		}
		best = max(best, score[f])
	}
	families := slices.DeleteFunc(slices.Clone(referenceFamilies), func(f string) bool { return score[f] < best-6 })
	slices.SortStableFunc(families, func(a, b string) int {
		if score[a] != score[b] {
			return map[bool]int{true: -1, false: 1}[score[a] > score[b]]
		}
		return 0
	})
	return families
}

// referenceAgree is what all families that know the element say of it. Only the first must know it, and surely.
func referenceAgree(families []string, r *teltonika.Record, el teltonika.Element) (name, value, fault string) {
	d := referenceDictionary()
	p := referencePair{int(el.ID), referenceWidth(el)}
	first := d.rows[families[0]][p]
	if len(first) == 0 || first[0]["confidence"] == "doubtful" || p.width == "x" && el.Size > meaning.MaxBytes {
		return "", "", ""
	}
	found := map[[4]string]bool{}
	for _, f := range families {
		for _, row := range d.rows[f][p] {
			value, fault := referenceDecode(row, el, r.Bytes(el))
			found[[4]string{row["name"], row["unit"], value, fault}] = true
		}
	}
	if len(found) > 1 {
		return "", "", ""
	}
	value, fault = referenceDecode(first[0], el, r.Bytes(el))
	return first[0]["name"], value, fault
}

// referenceDecode is the value as JSON, or the fault.
func referenceDecode(row referenceRow, el teltonika.Element, bytes []byte) (value, fault string) {
	if el.Group <= teltonika.Group8 {
		bytes = new(big.Int).SetUint64(el.Uint()).FillBytes(make([]byte, el.Size))
	}
	number, numeric := new(big.Int).SetBytes(bytes), len(bytes) > 0 && len(bytes) <= 8
	zero := number.Sign() == 0
	if numeric && row["signed"] == "1" && bytes[0] >= 0x80 {
		number.Sub(number, new(big.Int).Lsh(big.NewInt(1), uint(8*len(bytes))))
	}
	kind := row["type"]
	if numeric && kind != "rom" {
		for part := range strings.SplitSeq(row["invalid"], "|") {
			if raw, reason, _ := strings.Cut(part, ":"); raw == number.String() {
				return "", reason
			}
		}
	}
	text := func(b []byte) string { return referenceQuote(b) }
	switch {
	case kind == "rom" && zero:
		return "", "not_present"
	case kind == "text":
		return text([]byte(strings.TrimRight(string(bytes), "\x00 "))), ""
	case kind == "ascii8":
		return text([]byte(strings.TrimRight(string(bytes), "\x00"))), ""
	case kind == "mirror8":
		slices.Reverse(bytes)
		return text([]byte(strings.Trim(string(bytes), "\x00"))), ""
	case kind == "rom" || kind == "hex" || kind == "beacons" || kind == "tags" || !numeric:
		return strconv.Quote(hex.EncodeToString(bytes)), ""
	case kind == "decimal":
		return strconv.Quote(number.String()), ""
	case kind == "bool" && number.IsInt64() && (number.Int64() == 0 || number.Int64() == 1):
		return strconv.FormatBool(number.Int64() == 1), ""
	case kind == "bool":
		return number.String(), ""
	case kind == "enum":
		return referenceWord(row["enum"], number)
	case kind == "flags":
		return referenceFlags(row["flags"], number), ""
	case kind == "epoch":
		return referenceNumber(number, "", ""), ""
	}
	return referenceNumber(number, row["multiplier"], row["offset"]), ""
}

func referenceWord(words string, number *big.Int) (value, fault string) {
	for part := range strings.SplitSeq(words, "|") {
		if raw, word, _ := strings.Cut(part, "="); raw == number.String() {
			return strconv.Quote(word), ""
		}
	}
	return "", "unknown_code"
}

func referenceFlags(flags string, number *big.Int) string {
	var set []string
	for part := range strings.SplitSeq(flags, "|") {
		place, word, _ := strings.Cut(part, "=")
		low, high, several := strings.Cut(place, "-")
		from, _ := strconv.Atoi(low)
		if !several {
			if number.Bit(from) == 1 {
				set = append(set, strconv.Quote(word))
			}
			continue
		}
		to, _ := strconv.Atoi(high)
		n := 0
		for bit := to; bit >= from; bit-- {
			n = 2*n + int(number.Bit(bit))
		}
		if n > 0 {
			set = append(set, strconv.Quote(fmt.Sprintf("%s:%d", word, n)))
		}
	}
	return "[" + strings.Join(set, ",") + "]"
}

// referenceNumber is exact; it stands in quotes if its digits are no whole number below 2^53.
func referenceNumber(number *big.Int, multiplier, offset string) string {
	m, o := new(big.Rat).SetInt64(1), new(big.Rat)
	decimals := 0
	for text, to := range map[string]*big.Rat{multiplier: m, offset: o} {
		if text != "" {
			to.SetString(text)
			_, fraction, _ := strings.Cut(text, ".")
			decimals = max(decimals, len(fraction))
		}
	}
	value := new(big.Rat).SetInt(number)
	value.Mul(value, m).Add(value, o)
	text := value.FloatString(9)
	text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	digits := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
	digits.Mul(digits, value).Abs(digits)
	if digits.Cmp(new(big.Rat).SetInt64(1<<53)) > 0 {
		return strconv.Quote(text)
	}
	return text
}

// referenceQuote is Latin-1 as a JSON string.
func referenceQuote(text []byte) string {
	var s strings.Builder
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			s.WriteString(`\` + string(rune(b)))
		case b < 0x20 || b >= 0x7f && b < 0xa0:
			fmt.Fprintf(&s, `\u%04x`, b)
		default:
			s.WriteRune(rune(b))
		}
	}
	if !utf8.ValidString(s.String()) {
		panic("no UTF-8")
	}
	return `"` + s.String() + `"`
}

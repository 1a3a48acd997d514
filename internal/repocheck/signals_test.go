package repocheck

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// signal is a name that a record may have, with all that the dictionary's rows of that name say.
type signal struct {
	name, unit string
	kinds      map[meaning.Type]bool
	words      []string
	families   map[meaning.Family]bool
	published  bool // by some row that is not doubtful
}

func signals() map[string]*signal {
	all := map[string]*signal{}
	for d := range meaning.Embedded().Definitions() {
		s := all[d.Name]
		if s == nil {
			s = &signal{
				name: d.Name, unit: d.Unit, kinds: map[meaning.Type]bool{}, families: map[meaning.Family]bool{},
			}
			all[d.Name] = s
		}
		s.kinds[d.Type] = true
		s.published = s.published || d.Confidence != meaning.Doubtful
		for _, w := range d.Enum {
			s.addWord(w.Text)
		}
		for _, b := range d.Flags {
			s.addWord(b.Text)
		}
		for _, f := range d.Families {
			s.families[f] = true
		}
	}
	return all
}

func (s *signal) addWord(word string) {
	if !slices.Contains(s.words, word) {
		s.words = append(s.words, word)
	}
}

// maxWords is how many words of a signal the page lists.
const maxWords = 6

// value says what the signal may be.
func (s *signal) value() string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(s.kinds)) {
		switch kind {
		case meaning.Number:
			all = append(all, cmp.Or(s.unit, "number"))
		case meaning.Bool:
			all = append(all, "true, false")
		case meaning.Enum, meaning.Flags:
			text := "`" + strings.Join(s.words[:min(maxWords, len(s.words))], "` `") + "`"
			if more := len(s.words) - maxWords; more > 0 {
				text += fmt.Sprintf(" and %d more", more)
			}
			if kind == meaning.Flags {
				text = "list of " + text
			}
			all = append(all, text)
		case meaning.Epoch:
			all = append(all, "s since 1970")
		case meaning.Decimal:
			all = append(all, "digits, text")
		case meaning.Text, meaning.Mirror8, meaning.ASCII8:
			all = append(all, "text")
		default:
			all = append(all, "hex")
		}
	}
	return strings.Join(slices.Compact(all), " or ")
}

// fewNames is how many names a first word has at least to get a chapter of its own.
const fewNames = 10

// TestDocsSignals: the page lists the names that the dictionary has.
func TestDocsSignals(t *testing.T) {
	chapters := map[string][]*signal{}
	for _, s := range signals() {
		if s.published {
			first, _, _ := strings.Cut(s.name, ".")
			chapters[first] = append(chapters[first], s)
		}
	}
	const other = "general"
	for first, all := range chapters {
		if first != other && len(all) < fewNames {
			chapters[other] = append(chapters[other], all...)
			delete(chapters, first)
		}
	}
	var page strings.Builder
	titles := slices.Sorted(maps.Keys(chapters))
	titles = append(slices.DeleteFunc(titles, func(s string) bool { return s == other }), other)
	slices.SortStableFunc(titles, func(a, b string) int {
		return cmp.Compare(fmt.Sprint(a != other), fmt.Sprint(b != other)) // what is everywhere first
	})
	for _, title := range titles {
		writeSignals(&page, title, chapters[title])
	}
	testkit.Section(t, reference+"signals.md", "signals", page.String(), *update)
}

func writeSignals(page *strings.Builder, title string, all []*signal) {
	slices.SortFunc(all, func(a, b *signal) int { return strings.Compare(a.name, b.name) })
	fmt.Fprintf(page, "\n## %s\n\n| name | value | families |\n|---|---|---|\n", title)
	for _, s := range all {
		var families []string
		for _, f := range slices.Sorted(maps.Keys(s.families)) {
			families = append(families, f.String())
		}
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", s.name, s.value(), strings.Join(families, " "))
	}
}

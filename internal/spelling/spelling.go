// Package spelling finds the name that is meant by a misspelt one.
package spelling

import "fmt"

// DidYouMean asks for the name that is most like the word, as " (did you mean serve?)", with prefix before the name. It
// is empty if none is much like it.
func DidYouMean(word string, names []string, prefix string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, name := range names {
		if d := Edits(word, name); d < least && d < len(name) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s%s?)", prefix, best)
}

// Edits is how many characters have to be added, removed, replaced or swapped with the next one to make b of a. It
// looks at the first 64 of each.
func Edits(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

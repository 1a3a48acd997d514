package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// unknownCommand is the error of a word that is no command of cmd.
func unknownCommand(cmd *cli.Command, word string) error {
	var names []string
	for _, c := range cmd.VisibleCommands() {
		names = append(names, c.Names()...)
	}
	return cli.Exit(fmt.Sprintf("unknown command %q%s; see %s --help", word, didYouMean(word, names, ""), cmd.FullName()),
		exitUsage)
}

// didYouMean asks for the name that is most like the word, if any is much like it.
func didYouMean(word string, names []string, prefix string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, name := range names {
		if d := edits(word, name); d < least && d < len(name) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s%s?)", prefix, best)
}

// edits is how many characters have to be added, removed, replaced or swapped with the next one to make b of a. It
// looks at the first 64 of each.
func edits(a, b string) int {
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

// flagNames are those of the command's flags.
func flagNames(cmd *cli.Command) (names []string) {
	for _, f := range cmd.VisibleFlags() {
		names = append(names, f.Names()...)
	}
	return names
}

// misspeltSettings are environment variables that are no settings but nearly, each with the setting that may be meant
// and is not set.
func misspeltSettings(environment []string) map[string]string {
	settings := map[string]bool{}
	for _, s := range config.Settings {
		settings[s.Name] = true
	}
	misspelt := map[string]string{}
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if len(name) < 6 || settings[name] {
			continue
		}
		for _, s := range slices.Sorted(maps.Keys(settings)) {
			if _, set := os.LookupEnv(s); set || name[0] != s[0] { // SSL_CERT_FILE is somebody else's
				continue
			}
			if edits(name, s) <= 2 {
				misspelt[name] = s
				break
			}
		}
	}
	return misspelt
}

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/spelling"
)

// unknownCommand is the error of a word that is no command of cmd.
func unknownCommand(cmd *cli.Command, word string) error {
	var names []string
	for _, c := range cmd.VisibleCommands() {
		names = append(names, c.Names()...)
	}
	meant := spelling.DidYouMean(word, names, "")
	return cli.Exit(fmt.Sprintf("unknown command %q%s; see %s --help", word, meant, cmd.FullName()), exitUsage)
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
	settings := map[string]bool{config.FileVariable: true}
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
			if spelling.Edits(name, s) <= 2 {
				misspelt[name] = s
				break
			}
		}
	}
	return misspelt
}

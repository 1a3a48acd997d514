package main

import (
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"regexp"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/spelling"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// exitHelp is the library's code for a word behind help that is no command.
const exitHelp = 3

// usageError says what is wrong with the command line, and where to look.
func usageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	text := usageText(err)
	if flag, unknown := strings.CutPrefix(text, "unknown flag -"); unknown {
		text += spelling.DidYouMean(strings.TrimLeft(flag, "-"), flagNames(cmd), "--")
	}
	return cli.Exit(fmt.Sprintf("%s; see %s --help", text, cmd.FullName()), exitUsage)
}

// invalidValue is how the library puts a flag's value that cannot be read.
var invalidValue = regexp.MustCompile(`^invalid value "(.*)" for flag -+(\S+): (.*)$`)

// usageText puts an error of the library in the words of all others, which say what to use.
func usageText(err error) string {
	text := err.Error()
	m := invalidValue.FindStringSubmatch(text)
	if m == nil {
		return strings.Replace(text, "flag provided but not defined: -", "unknown flag -", 1)
	}
	use := m[3]
	switch {
	case strings.Contains(use, "out of range"):
		use = "is too large"
	case strings.Contains(use, "ParseInt"):
		use = "use a whole number"
	case strings.Contains(use, "ParseUint"):
		use = "use a whole number of 0 or more"
	case strings.Contains(use, "ParseFloat"):
		use = "use a number"
	case strings.Contains(use, "ParseBool"):
		use = "use true or false"
	case strings.Contains(use, "duration"):
		use = "use a duration with its unit, such as 500ms, 20s or 30m"
	}
	return fmt.Sprintf("--%s %q: %s", m[2], m[1], use)
}

// useDeviceID is what to do about a device's id that none can have.
const useDeviceID = "use an IMEI, or what else a device logs in with: 1 to 64 ASCII letters and digits"

func isDeviceID(s string) bool {
	_, err := teltonika.AppendLogin(nil, s)
	return err == nil
}

// noAnswer is the error of a request by what whoever asked knows: the address, and how long was waited.
func noAnswer(url string, err error) error {
	if named := (*neturl.Error)(nil); errors.As(err, &named) {
		err = named.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s does not answer in time", url)
	}
	return fmt.Errorf("no answer from %s: %w", url, err)
}

// plural is a number and its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

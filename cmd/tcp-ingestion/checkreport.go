package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
)

// checkReport is what check finds: lines for people as it goes, or one document of JSON at the end.
type checkReport struct {
	lines  io.Writer // nil for JSON
	values *config.Values
	result checkResult
}

// checkResult is what check --json prints; api/check.schema.json explains it.
type checkResult struct {
	OK         bool           `json:"ok"`
	ExitCode   int            `json:"exit_code"`
	Engine     string         `json:"engine,omitempty"`
	Durability string         `json:"durability,omitempty"`
	Facts      []checkFact    `json:"facts"`
	Findings   []checkFinding `json:"findings"`
}

type checkFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type checkFinding struct {
	Severity tlsserver.Severity `json:"severity"`
	Setting  string             `json:"setting,omitempty"`
	From     string             `json:"from,omitempty"`
	Message  string             `json:"message"`
	Remedy   string             `json:"remedy,omitempty"`
}

func newCheckReport(cmd *cli.Command) *checkReport {
	r := &checkReport{
		values: gatherSettings(cmd, besideTheService),
		result: checkResult{Facts: []checkFact{}, Findings: []checkFinding{}},
	}
	if !cmd.Bool("json") {
		r.lines = cmd.Root().Writer
	}
	return r
}

// fact tells what is so.
func (r *checkReport) fact(name, value string) {
	r.line(name+":", value)
	r.result.Facts = append(r.result.Facts, checkFact{name, value})
}

// below tells more of the fact before it.
func (r *checkReport) below(name, value string) {
	r.line("", name+" "+value)
	r.result.Facts = append(r.result.Facts, checkFact{name, value})
}

// warn tells what should be changed and keeps nobody out.
func (r *checkReport) warn(text string) { r.problem(tlsserver.Warning, text) }

func (r *checkReport) problem(severity tlsserver.Severity, text string) {
	r.line(string(severity)+":", text)
	setting, text := settingOf(text)
	r.find(severity, setting, "", text)
}

func (r *checkReport) line(label, text string) {
	if r.lines != nil {
		fmt.Fprintf(r.lines, "%-11s %s\n", label, text)
	}
}

// find notes a problem for JSON.
func (r *checkReport) find(severity tlsserver.Severity, setting, from, text string) {
	f := checkFinding{Severity: severity, Setting: setting, From: cmp.Or(from, r.values.Of(setting).From)}
	f.Message, f.Remedy = messageAndRemedy(text)
	r.result.Findings = append(r.result.Findings, f)
}

// settingOf takes the setting off that a text begins with, if it does.
func settingOf(text string) (setting, rest string) {
	name, rest, _ := strings.Cut(text, ": ")
	if slices.ContainsFunc(config.Settings, func(s config.Setting) bool { return s.Name == name }) {
		return name, rest
	}
	return "", text
}

// end prints the document, if that is what is asked for, with the error that check ends with, and returns that.
func (r *checkReport) end(out io.Writer, err error) error {
	if r.lines != nil {
		return err
	}
	var wrong *config.Error
	if errors.As(err, &wrong) {
		for i, p := range wrong.Problems {
			r.find(tlsserver.Error, p.Setting, wrong.At(i), p.Text)
		}
	} else if err != nil {
		setting, text := settingOf(err.Error())
		r.find(tlsserver.Error, setting, "", text)
	}
	r.result.ExitCode = exitCode(err)
	r.result.OK = err == nil
	return errors.Join(err, printJSON(out, r.result))
}

// use is where a text begins to say what to use instead of the value before it.
var use = regexp.MustCompile(`^(.*): ((?:use|set|let) .*)$`)

// messageAndRemedy takes the two sentences apart of which every problem's text consists.
func messageAndRemedy(text string) (message, remedy string) {
	value, err := strconv.QuotedPrefix(text) // which may have anything in it
	if err != nil {
		value = ""
	}
	if message, remedy, found := strings.Cut(text[len(value):], "; "); found {
		return value + message, remedy
	}
	if m := use.FindStringSubmatch(text[len(value):]); m != nil {
		if m[1] == "" {
			m[1] = " cannot be used"
		}
		return value + m[1], m[2]
	}
	if strings.HasPrefix(text, "use ") {
		return "the value cannot be used", text
	}
	return text, ""
}

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// TestMan: the page is one that man reads, and has all commands and settings.
func TestMan(t *testing.T) {
	code, page, errOut := execute(t, nil, "", "man")
	if code != 0 || !strings.Contains(page, ".TH tcp-ingestion 1") {
		t.Fatalf("exit code %d: %.200s%s", code, page, errOut)
	}
	for _, c := range rootCommand().Commands {
		if !strings.Contains(page, "\n.SH "+c.Name) {
			t.Errorf("%s is not in it", c.Name)
		}
	}
	for _, s := range config.Settings {
		if !strings.Contains(strings.ReplaceAll(page, `\-`, "-"), "--"+s.Flag()) {
			t.Errorf("%s is not in it", s.Name)
		}
	}
}

// TestCompletion: shells take the scripts, and what they ask for is there.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, errOut := execute(t, nil, "", "completion", shell)
		if code != 0 || !strings.Contains(script, "tcp-ingestion") {
			t.Fatalf("%s: exit code %d: %s%s", shell, code, script, errOut)
		}
		if shell != "bash" {
			continue
		}
		check := exec.Command(shell, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	for want, args := range map[string][]string{
		"serve": nil, "replay": {"deadletters"}, "--from-start": {"tail", "--"},
	} {
		_, out, _ := execute(t, nil, "", append(args, "--generate-shell-completion")...)
		names := strings.FieldsFunc(out, func(c rune) bool { return c == '\n' || c == ':' })
		if !slices.Contains(names, want) {
			t.Errorf("%v: no %s in %s", args, want, out)
		}
	}
}

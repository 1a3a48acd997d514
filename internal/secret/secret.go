// Package secret reads what must not be logged.
package secret

import (
	"fmt"
	"os"
	"strings"
)

// Text is a value, or the first line of a file. Neither: there is none. Never log it.
type Text struct{ Value, File string }

// Read reads the file anew, so that a changed one is used without a restart.
func (t Text) Read() (string, error) {
	if t.File == "" {
		return t.Value, nil
	}
	content, err := os.ReadFile(t.File)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("%s has nothing in its first line", t.File)
	}
	return line, nil
}

// Package secret reads what must not be logged.
package secret

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/regularfile"
)

// Text is a value, or the first line of a file. Neither: there is none. Never log it.
type Text struct{ Value, File string }

// Read reads the file anew, so that a changed one is used without a restart.
func (t Text) Read() (string, error) {
	if t.File == "" {
		return t.Value, nil
	}
	return ReadFile(t.File)
}

// maxBytes is more than any password, token or address has.
const maxBytes = 64 << 10

// ReadFile is the first line of a file, without the space around it. It is never empty.
func ReadFile(path string) (string, error) {
	content, err := regularfile.Read(path, maxBytes)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	text := strings.TrimSpace(string(line))
	switch {
	case text == "":
		return "", fmt.Errorf("%s has nothing in its first line", path)
	case strings.Contains(text, "\x00"):
		return "", fmt.Errorf("%s has a NUL in its first line, and is no text", path)
	}
	return text, nil
}

// ReadableByAll reports whether every user of this machine may read the file.
func ReadableByAll(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o004 != 0
}

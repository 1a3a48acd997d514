// Package regularfile reads files that settings name: whole, if they are files and not too large.
package regularfile

import (
	"fmt"
	"io"
	"os"
)

// Read returns what is in the file. A directory, a pipe, which would be waited for, and a file of more than most bytes
// are errors, as is one that is not there, an fs.ErrNotExist.
func Read(path string, most int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(content) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return content, nil
}

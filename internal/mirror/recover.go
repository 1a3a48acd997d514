package mirror

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// recover reads the segments of the process before, and gives what waits in them to push, which says whether it has
// room for it. It returns how many frames wait. A torn end, which a full disk or a crash of the machine leaves, ends a
// segment.
func (b *buffer) recover(push func(device string, i item) bool) (frames int, err error) {
	paths, err := filepath.Glob(filepath.Join(b.dir, "*"+suffix))
	if err != nil {
		return 0, err
	}
	slices.Sort(paths)
	for _, path := range paths {
		var number uint64
		if _, err := fmt.Sscanf(filepath.Base(path), "%016x"+suffix, &number); err != nil {
			continue // nobody's
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return frames, fmt.Errorf("buffer of the mirror: %w", err)
		}
		b.number = max(b.number, number)
		s := &segment{file: file}
		b.segments = append(b.segments, s)
		n, err := b.read(s, push)
		frames += n
		if err != nil {
			return frames, fmt.Errorf("buffer of the mirror: %w", err)
		}
	}
	return frames, nil
}

// read reads one segment.
func (b *buffer) read(s *segment, push func(device string, i item) bool) (frames int, err error) {
	from := bufio.NewReaderSize(s.file, 256<<10)
	var header [entryHeader]byte
	var body []byte
	for {
		if _, err := io.ReadFull(from, header[:]); err != nil {
			return frames, b.readEnd(s, err)
		}
		size, device := binary.BigEndian.Uint32(header[:]), int(header[9])
		if size > maxEntry || int(size) < device {
			return frames, b.readEnd(s, io.EOF)
		}
		body = slices.Grow(body[:0], int(size))[:size]
		if _, err := io.ReadFull(from, body); err != nil {
			return frames, b.readEnd(s, err)
		}
		if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(header[4:]) {
			return frames, b.readEnd(s, io.EOF)
		}
		at := s.size
		s.size += entryHeader + int64(size)
		if header[stateAt] != waiting {
			continue
		}
		s.add(1)
		b.waiting.Add(1)
		i := item{segment: s, at: uint32(at), skip: uint32(entryHeader + device), size: size - uint32(device)}
		if !push(string(body[:device]), i) {
			i.finish()
			b.waiting.Add(-1)
			b.dropped("devices", 1, nil)
			continue
		}
		frames++
	}
}

// readEnd takes what has been read of the segment for all of it.
func (b *buffer) readEnd(s *segment, err error) error {
	b.total += s.size
	_ = s.file.Truncate(s.size) // else what is written behind may look like more
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

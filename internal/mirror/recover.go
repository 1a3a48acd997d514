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
// segment. One that the disk does not give is left alone: the service starts without the rest of it.
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
		b.number = max(b.number, number)
		n, err := b.open(path, push)
		frames += n
		if err != nil {
			b.logger.Error("mirror cannot read a segment of its buffer and leaves it alone", "path", path, "error", err)
		}
	}
	return frames, nil
}

// open reads the segment at path. If that fails somewhere, what has been read waits, and nothing of the file goes.
func (b *buffer) open(path string, push func(device string, i item) bool) (frames int, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	s := &segment{file: file}
	if frames, err = b.read(s, push); err != nil {
		b.unread = append(b.unread, s)
		return frames, err
	}
	b.segments = append(b.segments, s)
	b.total += s.size
	if info, err := file.Stat(); err == nil && info.Size() > s.size {
		_ = file.Truncate(s.size) // else what is written behind may look like more
		b.logger.Warn("mirror cuts the torn end off a segment of its buffer", "path", path, "bytes", info.Size()-s.size)
	}
	return frames, nil
}

// read reads one segment up to its end, torn or not.
func (b *buffer) read(s *segment, push func(device string, i item) bool) (frames int, err error) {
	from := bufio.NewReaderSize(s.file, 256<<10)
	var header [entryHeader]byte
	var body []byte
	for {
		if _, err := io.ReadFull(from, header[:]); err != nil {
			return frames, unlessEnd(err)
		}
		size, device := binary.BigEndian.Uint32(header[:]), int(header[9])
		if size > maxEntry || int(size) < device {
			return frames, nil
		}
		body = slices.Grow(body[:0], int(size))[:size]
		if _, err := io.ReadFull(from, body); err != nil {
			return frames, unlessEnd(err)
		}
		if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(header[4:]) {
			return frames, nil
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

// unlessEnd returns an error that is not the end of the file.
func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

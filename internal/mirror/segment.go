package mirror

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"
)

// An entry of a segment, numbers big endian:
//
//	| length u32 | CRC-32 u32 | state u8 | device length u8 | device | frame |
//
// length is that of device and frame, the CRC is theirs. The state is overwritten once the frame is done with.
const (
	entryHeader = 10
	stateAt     = 8
	waiting     = 'w'
	done        = 'd'
	maxEntry    = 64 << 20 // what is larger is no entry
)

// doneState is what is written over the state.
var doneState = []byte{done}

// errGone says that a segment was dropped for newer ones.
var errGone = errors.New("the buffer has dropped it")

// appendEntry appends the frame of a device.
func appendEntry(dst []byte, device string, frame []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(device)+len(frame)))
	dst = append(dst, 0, 0, 0, 0, waiting, byte(len(device)))
	dst = append(append(dst, device...), frame...)
	binary.BigEndian.PutUint32(dst[at+4:], crc32.ChecksumIEEE(dst[at+entryHeader:]))
	return dst
}

// file is what a segment needs of an os.File.
type file interface {
	io.Reader
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Name() string
}

// segment is a file of the buffer. Its frames are counted by whoever is done with one, the rest is the writer's.
type segment struct {
	file file
	size int64 // bytes; the writer's

	mu   sync.Mutex
	live int // frames that wait
	gone bool
}

// add counts frames that begin to wait.
func (s *segment) add(frames int) {
	s.mu.Lock()
	s.live += frames
	s.mu.Unlock()
}

// idle reports whether nothing waits.
func (s *segment) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live == 0
}

// drop has nothing of the segment wait any more, and returns how many frames did.
func (s *segment) drop() (frames int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames, s.live, s.gone = s.live, 0, true
	return frames
}

func (s *segment) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// item is a frame that waits in a segment.
type item struct {
	segment *segment
	at      uint32 // of its entry
	skip    uint32 // bytes from there to the frame
	size    uint32 // of the frame, in bytes
	receipt *Receipt
}

// stale reports whether nobody wants the frame any more.
func (i *item) stale() bool { return i.segment.isGone() || i.receipt.abandoned() }

// read returns the frame.
func (i *item) read() ([]byte, error) {
	frame := make([]byte, i.size)
	_, err := i.segment.file.ReadAt(frame, int64(i.at)+int64(i.skip))
	if err != nil && i.segment.isGone() {
		return nil, errGone
	}
	return frame, err
}

// finish is called once the frame is done with. It reports false if the buffer has dropped it before. If the state
// cannot be written the frame is sent once more after a restart.
func (i *item) finish() bool {
	s := i.segment
	_, _ = s.file.WriteAt(doneState, int64(i.at)+stateAt)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.live--
	return true
}

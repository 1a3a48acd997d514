package publish

import "sync/atomic"

// inbox is where sessions leave frames for a lane, without a lock: a linked stack that the lane takes whole.
type inbox struct {
	newest atomic.Pointer[Frame]
	wake   chan struct{} // a message whenever the stack stops being empty
}

func (in *inbox) push(f *Frame) {
	for {
		f.next = in.newest.Load()
		if in.newest.CompareAndSwap(f.next, f) {
			break
		}
	}
	// f belongs to the lane now, which may have taken it already; the message is then one too many.
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// take appends all frames in the order in which they were pushed.
func (in *inbox) take(frames []*Frame) []*Frame {
	first := len(frames)
	for f := in.newest.Swap(nil); f != nil; {
		next := f.next
		f.next = nil
		frames = append(frames, f)
		f = next
	}
	for i, j := first, len(frames)-1; i < j; i, j = i+1, j-1 {
		frames[i], frames[j] = frames[j], frames[i]
	}
	return frames
}

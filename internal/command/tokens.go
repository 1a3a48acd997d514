package command

import (
	"strconv"
	"sync"
)

// Tokens are a store's idempotency tokens. A call that failed may have had its effect all the same. Its repetition
// carries the same token, by which the store recognises its own work; every other call carries a new one.
type Tokens struct {
	run string // makes them unlike those of any other process

	mu     sync.Mutex
	last   uint64
	failed map[any]string
}

// NewTokens returns tokens that begin with run, which no other process ever has.
func NewTokens(run string) *Tokens { return &Tokens{run: run, failed: make(map[any]string)} }

// Of is the call's token. The caller names the same call when it repeats it.
func (t *Tokens) Of(call any) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token, ok := t.failed[call]; ok {
		return token
	}
	t.last++
	return t.run + "-" + strconv.FormatUint(t.last, 10)
}

// Note says how the call with the token has ended.
func (t *Tokens) Note(call any, token string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.failed, call)
	} else {
		t.failed[call] = token
	}
}

package redisstore

import (
	"strconv"
	"sync"
)

// doubts remembers the calls that have failed and may have had their effect all the same. Their repetition carries the same token, by
// which a script recognises its own work; any other call carries a new one.
type doubts struct {
	run    string
	mu     sync.Mutex
	last   uint64
	tokens map[any]string
}

// token is the call's token. call is what the caller names again when he repeats it.
func (d *doubts) token(call any) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if token, ok := d.tokens[call]; ok {
		return token
	}
	d.last++
	return d.run + "-" + strconv.FormatUint(d.last, 10)
}

// note says how the call with the token has ended.
func (d *doubts) note(call any, token string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		delete(d.tokens, call)
	case d.tokens == nil:
		d.tokens = map[any]string{call: token}
	default:
		d.tokens[call] = token
	}
}

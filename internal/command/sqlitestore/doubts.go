package sqlitestore

import (
	"crypto/rand"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// doubts are the messages whose settling has failed and may have had its effect all the same, each with the token that its
// repetition carries too, and by which it is recognised. Any other call has a new one.
type doubts struct {
	mu     sync.Mutex
	tokens map[*command.Message]string
}

func (d *doubts) token(m *command.Message) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if token, ok := d.tokens[m]; ok {
		return token
	}
	return rand.Text()
}

// note says how the call with the token has ended.
func (d *doubts) note(m *command.Message, token string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.tokens[m] = token
	} else {
		delete(d.tokens, m)
	}
}

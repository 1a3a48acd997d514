package command

import (
	"bytes"
	"sync"
)

// maxModels bounds the models that are kept in mind.
const maxModels = 1 << 20

// models are the hardware models of devices, which only their answers to getver and getinfo tell.
type models struct {
	mu     *sync.Mutex
	byIMEI map[string]string
}

func newModels() models { return models{mu: new(sync.Mutex), byIMEI: make(map[string]string)} }

// learn looks for "Hw:FMB130" in an answer.
func (m *models) learn(imei string, answer []byte) {
	_, rest, found := bytes.Cut(answer, []byte("Hw:"))
	if !found {
		return
	}
	end := bytes.IndexFunc(rest, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' || c == ';' })
	if end < 0 {
		end = len(rest)
	}
	if end == 0 || end > 32 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.byIMEI) == maxModels {
		clear(m.byIMEI)
	}
	m.byIMEI[imei] = string(rest[:end])
}

func (m *models) of(imei string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byIMEI[imei]
}

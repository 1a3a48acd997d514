package device

import (
	"context"
	"strings"
	"testing"
	"time"
)

// FMX6Elements are some that tell the family.
var FMX6Elements = fmx6Elements

// ModelsOf are those of a file's text.
func ModelsOf(tb testing.TB, text string) *Models {
	tb.Helper()
	m, err := parseModels(context.Background(), strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// Forgetful has the store asked for the device again at its next login.
func Forgetful(m *Memory, imei string) {
	d := m.devices.find(imei)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loadedAt -= moment(time.Hour / time.Millisecond)
}

// NewSized is New with room for so many devices, and as many that only datagrams claim to be.
func NewSized(o Options, devices int) *Memory { return newMemory(o, devices, devices) }

// InHand are the devices that wait to be loaded, and how many have gone and wait to be saved.
func InHand(m *Memory) (waiting map[*Device]bool, gone int) {
	m.keeper.mu.Lock()
	defer m.keeper.mu.Unlock()
	waiting = make(map[*Device]bool)
	for _, d := range m.keeper.waiting {
		waiting[d] = true
	}
	return waiting, len(m.keeper.gone)
}

// Queued is how often devices are to be loaded.
func Queued(m *Memory) int {
	m.keeper.mu.Lock()
	defer m.keeper.mu.Unlock()
	return len(m.keeper.waiting)
}

// LoadBatch is how many are loaded at once.
const LoadBatch = loadBatch

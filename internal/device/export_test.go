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
	d.loadedAt = d.loadedAt.Add(-time.Hour)
}

package logging

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestEachDeviceOfAFleetIsFound: devices that come at once leave a line each, whatever one of them does.
func TestEachDeviceOfAFleetIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo, false)
		const fleet = 3000
		noisy := log.With("imei", "noisy")
		for i := range fleet {
			log.Info("device connected", "imei", fmt.Sprint(i), "remote", "203.0.113.7:1")
			noisy.Info("device connected")
		}
		found := map[any]int{}
		for _, l := range decodeLines(t, out.Bytes()) {
			found[l["imei"]]++
		}
		if n := found["noisy"]; n != usualLimits.device.Burst {
			t.Errorf("one device has %d lines", n)
		}
		const neighbours = 5 // that share the noisy one's cell, at the most: one does in each 22nd run
		if delete(found, "noisy"); len(found) < fleet-neighbours {
			t.Errorf("%d devices of %d are found", len(found), fleet)
		}
		out.Reset()
		time.Sleep(usualLimits.device.Interval)
		noisy.Info("device connected")
		if l := decodeLines(t, out.Bytes()); len(l) != 1 || l[0]["suppressed"].(float64) == 0 {
			t.Errorf("later: %v", l)
		}
	})
}

// TestMadeUpDevicesAreLimited: whoever makes up devices fills no disk.
func TestMadeUpDevicesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo, false)
		for i := range 30_000 {
			log.Info("device connected", "imei", fmt.Sprint(i))
		}
		first := len(decodeLines(t, out.Bytes()))
		time.Sleep(time.Second)
		for i := range 1000 {
			log.Info("device connected", "imei", fmt.Sprint("again", i))
		}
		if second := len(decodeLines(t, out.Bytes())) - first; first != usualLimits.devices.Burst || second != 50 {
			t.Errorf("%d lines at once, %d a second later", first, second)
		}
		log.Info("another message", "imei", "1")
		if n := bytes.Count(out.Bytes(), []byte("another message")); n != 1 {
			t.Error("another message is suppressed too")
		}
	})
}

// BenchmarkLine is a line that names a device, each time another one: with the limits, and without.
func BenchmarkLine(b *testing.B) {
	unlimited := limits{usualLimits.usual, usualLimits.device, usualLimits.devices}
	unlimited.devices.Burst = 1 << 30
	plain := slog.NewJSONHandler(io.Discard, nil)
	imeis := make([]string, 100_000)
	for i := range imeis {
		imeis[i] = fmt.Sprint(356307042441013 + i)
	}
	for name, h := range map[string]slog.Handler{"plain": plain, "limited": newThrottle(plain, unlimited)} {
		b.Run(name, func(b *testing.B) {
			log := slog.New(h)
			for i := 0; b.Loop(); i++ {
				log.Info("device connected", "imei", imeis[i%len(imeis)], "remote", "203.0.113.7:41234", "transport", "tcp",
					"known", true)
			}
		})
	}
}

package device_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/redisstore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkStore says what 100,000 devices cost a store: room, saving one of them, and a page of 200.
func BenchmarkStore(b *testing.B) {
	b.Run("redis", func(b *testing.B) {
		server := testkit.StartRedis(b)
		store, err := redisstore.New(server.URL(), "bench")
		if err != nil {
			b.Fatal(err)
		}
		benchStore(b, store, func() int64 { return usedMemory(b, server) })
	})
	b.Run("sqlite", func(b *testing.B) {
		dir := b.TempDir()
		store, err := sqlitestore.New(dir, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		benchStore(b, store, func() (size int64) {
			if info, err := os.Stat(filepath.Join(dir, sqlitestore.FileName)); err == nil {
				size = info.Size()
			}
			return size
		})
	})
}

func usedMemory(b *testing.B, server *testkit.Redis) int64 {
	for line := range strings.Lines(fmt.Sprint(server.Do("INFO", "memory"))) {
		if value, ok := strings.CutPrefix(line, "used_memory:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("Redis does not say how much it uses")
	return 0
}

func benchStore(b *testing.B, store device.Store, room func() int64) {
	const devices, batch = 100_000, 256
	defer store.Close()
	before, begin := room(), time.Now()
	save := func(round int) {
		for i := 0; i < devices; i += batch {
			var all []device.Kept
			for j := i; j < min(i+batch, devices); j++ {
				all = append(all, busy(fmt.Sprintf("%015d", 356307042000000+j), round))
			}
			if err := store.Save(b.Context(), all); err != nil {
				b.Fatal(err)
			}
		}
	}
	save(0)
	first := time.Since(begin)
	begin = time.Now()
	save(1)
	again := time.Since(begin)
	used := room() - before
	for b.Loop() {
		page, err := store.List(b.Context(), device.StateConnected, "356307042050000", 200)
		if err != nil || len(page) != 200 {
			b.Fatal(len(page), err)
		}
	}
	b.ReportMetric(float64(used)/devices, "B/device")
	b.ReportMetric(float64(first.Nanoseconds())/devices, "ns/first_save")
	b.ReportMetric(float64(again.Nanoseconds())/devices, "ns/save")
}

// busy is a device as most are: it has sent records, and nothing was ever wrong.
func busy(imei string, round int) device.Kept {
	now := device.Time{Time: time.Now()}
	return device.Kept{IMEI: imei, Model: "FMB120", Firmware: "03.28.07_00", Evidence: make([]byte, 120),
		Presence: &device.Presence{
			IMEI: imei, Connected: true, Instance: "tcp-ingestion-1", InstanceRun: now, Transport: "tcp",
			Address: "198.51.100.7:40312", ConnectedAt: now, FirstSeen: now, LastSeen: now, Codec: "8E", Frames: 120,
			Records: 371, Model: "FMB120", Firmware: "03.28.07_00", Family: "fmb", Logins: uint64(round), LastStored: now,
			Login:      device.Login{At: now, Answer: device.LoginAccepted, Address: "198.51.100.7:40312"},
			Counts:     device.Counts{Stored: 371},
			LastRecord: &device.LastRecord{Timestamp: now, Fix: "ok", Latitude: 546674250, Longitude: 252560283, Speed: 42},
		}}
}

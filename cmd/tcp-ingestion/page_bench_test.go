package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/sqlitestore"
)

// crowd is a memory of so many devices that are connected, behind the API.
func crowd(b *testing.B, devices int) (origin string) {
	b.Helper()
	logger := slog.New(slog.DiscardHandler)
	store, err := sqlitestore.New(b.TempDir(), logger)
	if err != nil {
		b.Fatal(err)
	}
	memory := device.New(device.Options{Store: store, Instance: "one",
		Metrics: device.NewMetrics(prometheus.NewRegistry()), Logger: logger})
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); memory.Run(ctx) }()
	for i := range devices {
		d := memory.Hold(fmt.Sprintf("35000%010d", i))
		d.LoggedIn(device.Visit{At: time.Now(), Transport: "tcp", Address: "198.51.100.7:40312"})
		d.Stored(device.Outcome{At: time.Now(), Stored: 10})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := admin.NewServer(admin.Options{Devices: memory, Logger: logger})
	go s.Serve(l)
	b.Cleanup(func() {
		s.Close(context.Background())
		end()
		<-ended
		store.Close()
	})
	return "http://" + l.Addr().String() + "/"
}

// BenchmarkDevicesOnThePage is the list of devices with 100,000 of them connected, beside one with 200: a page over the
// API, and how long a browser takes from asking for the view until it shows it.
func BenchmarkDevicesOnThePage(b *testing.B) {
	for _, devices := range []int{200, 100_000} {
		b.Run(fmt.Sprint(devices), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			origin := crowd(b, devices)
			runtime.GC()
			runtime.ReadMemStats(&after)
			middle := fmt.Sprintf("&cursor=35000%010d", devices/2)
			for name, parameters := range map[string]string{"first": "", "middle": middle, "gone": "&state=gone"} {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						fetch(b, origin+"v1/devices?limit=200&verdict=true"+parameters)
					}
				})
			}
			b.Run("browser", func(b *testing.B) {
				v := openBrowser(b)
				for b.Loop() {
					v.open("about:blank")
					v.open(origin + "#/devices")
					v.waitText("td", "350000000000000")
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(devices), "B/device")
			})
		})
	}
}

func fetch(b *testing.B, url string) {
	b.Helper()
	response, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		b.Fatal(n, err, response.Status)
	}
}

package simulate

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// BenchmarkFrame is what a frame of 10 records costs before it is sent: the journey, the bytes and the CRC.
func BenchmarkFrame(b *testing.B) {
	for _, codec := range []teltonika.Codec{teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16} {
		b.Run(fmt.Sprintf("codec=%v", codec), func(b *testing.B) {
			const devices, perFrame = 64, 10
			options := Defaults()
			options.RecordsPerFrame = Range{Min: perFrame, Max: perFrame}
			options.Codecs = Mix{{Codec: codec, Weight: 1}}
			options.Start = time.UnixMilli(1_700_000_000_000)
			catalogues, err := newCatalogues()
			if err != nil {
				b.Fatal(err)
			}
			f := &fleet{options: &options, meter: newMeter(1)}
			var fleet [devices]*device
			for i := range fleet {
				fleet[i] = f.newDevice(i, catalogues)
			}
			b.ReportAllocs()
			n, before := 0, processorTime(b)
			for b.Loop() {
				d := fleet[n%devices]
				d.nextFrame()
				b.SetBytes(int64(len(d.frame.bytes)))
				n++
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(n*perFrame), "cpu-ns/record")
		})
	}
}

// processorTime is what this process has used of the processors: other than the time on the wall it hardly
// depends on who else is using them.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

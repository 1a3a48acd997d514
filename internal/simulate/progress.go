package simulate

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// reportProgress writes a line each second until it is told to end.
func (f *fleet) reportProgress() (end func()) {
	if f.options.Progress == nil {
		return func() {}
	}
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		acknowledged := int64(0)
		for {
			select {
			case <-ticker.C:
				acknowledged = f.progress(f.options.Progress, acknowledged)
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		wg.Wait()
	}
}

func (f *fleet) progress(w io.Writer, before int64) int64 {
	m, latency := f.meter, f.meter.latencies()
	acknowledged := m.sum(recordsAcknowledged)
	fmt.Fprintf(w, "%4.0fs  connected %d  records sent %d, acknowledged %d (%d/s), sent again %d  p50 %v, p99 %v\n",
		f.now().Seconds(), m.sum(connected), m.sum(recordsSent), acknowledged, acknowledged-before, m.sum(recordsResent),
		latency.quantile(0.5).Round(10*time.Microsecond), latency.quantile(0.99).Round(10*time.Microsecond))
	if why := f.lastFailure(); why != "" && m.sum(connected) == 0 {
		fmt.Fprintf(w, "       nobody is connected: %s\n", why)
	}
	return acknowledged
}

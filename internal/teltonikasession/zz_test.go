package teltonikasession

import (
	"fmt"
	"testing"
	"time"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func BenchmarkZZ(b *testing.B) {
	s := newPacketService(b)
	s.engine.Forget()
	address := s.listenShared(1)
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			d := newBenchDatagram(b, address, teltonika.Codec8E)
			for i := range 20 {
				d.renew()
				t := time.Now()
				d.exchange(b)
				if x := time.Since(t); x > 500*time.Millisecond {
					fmt.Println(g, i, x)
				}
			}
		})
	}
	wg.Wait()
	fs, _ := s.registry.Gather()
	for _, f := range fs {
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue(); v != 0 {
				fmt.Println(f.GetName(), m.GetLabel(), v)
			}
		}
	}
	fmt.Println(s.log.b.String())
}

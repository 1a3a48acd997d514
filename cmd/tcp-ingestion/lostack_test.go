package main

import (
	"fmt"
	"sync"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestEveryACKLostOnce: each device loses its connection after every frame, before it has learned of the ACK, and
// sends the frame again over a new one. Each record is stored once all the same.
func TestEveryACKLostOnce(t *testing.T) {
	const devices, frames, recordsPerFrame = 50, 10, 5
	for _, open := range []func(testing.TB) store{func(t testing.TB) store { return redisStore(t) }, embeddedStore} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			s := startServer(t, store.settings)
			var wg sync.WaitGroup
			for d := range devices {
				wg.Go(func() {
					for f := range frames {
						frame := numberedFrame(t, f, recordsPerFrame)
						for range 2 {
							device := testkit.Dial(t, s.devices)
							device.MustLogin(fmt.Sprintf("35730704244%04d", d))
							device.Send(frame)
							device.ExpectACK(recordsPerFrame)
							device.Close()
						}
					}
				})
			}
			wg.Wait()
			s.wantBalance()
			if n := s.metric("teltonika_records_duplicate_total"); n != devices*frames*recordsPerFrame {
				t.Errorf("%v duplicates, want %d", n, devices*frames*recordsPerFrame)
			}
			stored := store.stored(t)
			if len(stored) != devices*frames*recordsPerFrame {
				t.Errorf("%d records stored, want %d", len(stored), devices*frames*recordsPerFrame)
			}
			for id, n := range stored {
				if n != 1 {
					t.Errorf("%s stored %d times", id, n)
				}
			}
		})
	}
}

// numberedFrame is a frame of records that differ from those of every other number.
func numberedFrame(t *testing.T, number, records int) []byte {
	data := teltonika.AVLData{Codec: teltonika.Codec8E}
	for i := range records {
		r := teltonika.Record{Timestamp: uint64(1_700_000_000_000 + 1000*(number*records+i)), Satellites: 9}
		r.AddNumber(66, teltonika.Group2, 12_000)
		data.Records = append(data.Records, r)
	}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.Error(err)
	}
	return frame
}

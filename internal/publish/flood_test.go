package publish

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const crafted = 200_000

// craft returns the bytes of a good Codec 8 record whose xxHash64 is the given one: the value of its last element,
// which is the hash's last input, is what the hash asks for when it is run backwards.
func craft(hash uint64) []byte {
	record := make([]byte, 48)
	binary.BigEndian.PutUint64(record, 1560161086000)
	record[25], record[29] = 2, 2             // two elements, both of 8 bytes
	record[30], record[39] = 1, 2             // their ids
	state := beforeLast(xxhash.Sum64(record)) // of a value of 0
	binary.LittleEndian.PutUint64(record[40:], unround(beforeLast(hash)^state))
	return record
}

const prime1, prime2, prime3, prime4 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63

// inverse is what undoes a multiplication by an odd number.
func inverse(n uint64) uint64 {
	x := n
	for range 6 {
		x *= 2 - n*x
	}
	return x
}

// beforeLast is xxHash64's state with the last 8 bytes mixed in, and before the steps that follow.
func beforeLast(h uint64) uint64 {
	h ^= h >> 32
	h *= inverse(prime3)
	h ^= h>>29 ^ h>>58
	h *= inverse(prime2)
	h ^= h >> 33
	return bits.RotateLeft64((h-prime4)*inverse(prime1), -27)
}

func unround(h uint64) uint64 {
	return bits.RotateLeft64(h*inverse(prime1), -31) * inverse(prime2)
}

// craftedHashes are those of records that used to belong at one place of a set, whatever its size.
func craftedHashes() []uint64 {
	hashes := make([]uint64, crafted)
	for i := range hashes {
		hashes[i] = uint64(i)<<24 | 0x5A5A5A
	}
	return hashes
}

func TestCraftedRecordHasItsHash(t *testing.T) {
	for _, hash := range []uint64{0, 1, 0x5A5A5A, 1<<63 | 7} {
		if got := xxhash.Sum64(craft(hash)); got != hash {
			t.Errorf("%x, want %x", got, hash)
		}
	}
}

// flood publishes a record for each hash, and returns how long a bystander's frames in the same lane take meanwhile.
func flood(t *testing.T, hashes []uint64) (took time.Duration, bystander []time.Duration) {
	e := testkit.NewEngine(1)
	e.Forget()
	p := newPublisher(t, e, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			start := time.Now()
			if _, err := publish(p, "bystander", n); err != nil {
				t.Error(err)
				return
			}
			bystander = append(bystander, time.Since(start))
		}
	})
	start := time.Now()
	for frame := range slices.Chunk(hashes, largestFrame) {
		f, err := p.Admit(nil, "flooder", len(frame))
		if err != nil {
			t.Fatal(err)
		}
		for _, hash := range frame {
			f.Records = append(f.Records, engine.Record{DeviceID: "flooder", Codec: "8", Timestamp: 1560161086000, Hash: hash})
		}
		if o, err := p.Publish(f); err != nil || o.Published != len(frame) {
			t.Errorf("%+v, %v", o, err)
			break
		}
	}
	took = time.Since(start)
	cancel()
	watching.Wait()
	slices.Sort(bystander)
	return took, bystander
}

// TestCraftedRecordsHoldUpNobody: records whose hashes a device has chosen cost no more than any others, and a
// bystander in the same lane does not notice.
func TestCraftedRecordsHoldUpNobody(t *testing.T) {
	random := make([]uint64, crafted)
	for i := range random {
		random[i] = rand.Uint64()
	}
	p99 := func(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }
	usual, usualWaits := flood(t, random)
	took, waits := flood(t, craftedHashes())
	t.Logf(
		"200,000 records: random %v, bystander's p99 %v, longest %v; crafted %v, p99 %v, longest %v",
		usual,
		p99(usualWaits),
		usualWaits[len(usualWaits)-1],
		took,
		p99(waits),
		waits[len(waits)-1],
	)
	if took > 5*usual+time.Second || p99(waits) > 5*p99(usualWaits)+50*time.Millisecond {
		t.Error("crafted records cost more than others")
	}
}

// TestCraftedKeysSpread: whatever a device chooses of its records' hash and time, of its dead letters and of its name,
// their keys are as far from their places as those of a random set may be.
func TestCraftedKeysSpread(t *testing.T) {
	s := newSecret()
	device := s.device("flooder")
	record := func(hash uint64, time int64) key {
		return s.record(device, &engine.Record{Hash: hash, Timestamp: time})
	}
	for name, make := range map[string]func(i int) key{
		"low bits of the hash equal":  func(i int) key { return record(uint64(i)<<24, 1) },
		"only low bits differ":        func(i int) key { return record(uint64(i), 1) },
		"high bits of the hash equal": func(i int) key { return record(uint64(i)<<8|0xAB<<56, 1) },
		"time makes up for the hash":  func(i int) key { return record(uint64(i)*0x9E3779B97F4A7C15, int64(i)) },
		"time alone":                  func(i int) key { return record(7, int64(i)<<24) },
		"dead letters": func(i int) key {
			return s.deadLetter(device, &engine.DeadLetter{Frame: craft(uint64(i) << 24)})
		},
		"messages": func(i int) key { return s.message(uint64(i), 0) },
		"devices":  func(i int) key { return s.record(s.device(fmt.Sprint(i)), &engine.Record{Hash: 7, Timestamp: 1}) },
	} {
		var set keySet
		for i := range crafted {
			set.add(make(i))
		}
		if set.count != crafted {
			t.Errorf("%s: %d keys of %d", name, set.count, crafted)
		}
		longest := 0
		for i, k := range set.slots {
			if k != (key{}) {
				longest = max(longest, (i-set.home(k))&(len(set.slots)-1))
			}
		}
		if longest > 1000 {
			t.Errorf("%s: a key is %d from its place", name, longest)
		}
	}
}

// TestLanesCannotBeAimedAt: devices that all belong to one lane of a process do not in another.
func TestLanesCannotBeAimedAt(t *testing.T) {
	const lanes = 4
	one, another := newSecret(), newSecret()
	var there [lanes]int
	for i := 0; there[0]+there[1]+there[2]+there[3] < 1000; i++ {
		if id := fmt.Sprint(356307042441013 + i); one.device(id)%lanes == 0 && xxhash.Sum64String(id)%lanes == 0 {
			there[another.device(id)%lanes]++
		}
	}
	for lane, n := range there {
		if n < 150 {
			t.Errorf("lane %d has %d devices of 1000", lane, n)
		}
	}
}

// stuckWriter is a log that nobody reads, such as a full pipe.
type stuckWriter struct{ read chan struct{} }

func (w stuckWriter) Write(b []byte) (int, error) { <-w.read; return len(b), nil }

// TestHungLaneIsNotReady: a lane that hangs outside of the engine says so, although the engine is well.
func TestHungLaneIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := testkit.NewEngine(1), stuckWriter{make(chan struct{})}
		p := New(Options{
			Engine: e, Capacity: 1000, Timeout: testTimeout, Metrics: NewMetrics(prometheus.NewRegistry()),
			Logger: slog.New(slog.NewTextHandler(log, nil)),
		})
		defer p.Close()
		e.Fail(func(*engine.Batch) error { return errBusy })
		done := publishing(p, "a", 1)
		synctest.Wait() // the lane writes the first failure to the log
		e.Fail(nil)
		time.Sleep(healthWindow + workTimeout)
		if err := p.Err(); err == nil ||
			!bytes.Contains([]byte(err.Error()), []byte("lane 0 has been busy with its own work for 13s")) {
			t.Errorf("%v", err)
		}
		close(log.read)
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
		if err := p.Err(); err != nil {
			t.Errorf("after it: %v", err)
		}
		// Neither waiting for frames nor waiting for the engine is its own work.
		e.Hold()
		done = publishing(p, "a", 2)
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout-time.Second)
		defer cancel()
		<-ctx.Done()
		if err := p.Err(); err != nil {
			t.Errorf("while the engine has the batch: %v", err)
		}
		e.Release()
		<-done
		time.Sleep(time.Hour)
		if err := p.Err(); err != nil {
			t.Errorf("idle: %v", err)
		}
	})
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestStrangersCannotFillTheDisk has made-up devices send large frames that cannot be decoded, far more than there is
// room for. The dead letter of a device that has records here stays.
func TestStrangersCannotFillTheDisk(t *testing.T) {
	const limit = 4 << 20
	settings := map[string]string{"DATA_DIR": t.TempDir(), "DEAD_LETTER_MAX_BYTES": fmt.Sprint(limit)}
	s := startServer(t, settings)
	known := testkit.Dial(t, s.devices)
	known.MustLogin("356307042441013")
	known.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: 1560161086000})
	known.ExpectACK(1)
	undecodable := make([]byte, 60_000)
	copy(undecodable, []byte{byte(teltonika.Codec8), 3})
	known.Send(teltonika.AppendFrame(nil, undecodable))
	known.ExpectACK(3)
	for i := range 8 {
		stranger := testkit.Dial(t, s.devices)
		stranger.MustLogin(fmt.Sprint(356307042441020 + i))
		for j := range 20 {
			undecodable[1000] = byte(j) // the same frame again is a duplicate
			stranger.Send(teltonika.AppendFrame(nil, undecodable))
			stranger.ExpectACK(3)
		}
		stranger.Close()
	}
	testkit.Eventually(t, "the bytes of dead letters are shown", func() bool {
		bytes := s.metric("telemetry_dead_letter_bytes")
		return bytes > limit*9/10 && bytes <= limit && s.metric("telemetry_dead_letter_limit_bytes") == limit
	})
	s.wantLogged("oldest dead letters removed to make room for new ones: replay or delete them in time")
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if info, err := os.Stat(filepath.Join(settings["DATA_DIR"], "telemetry.db")); err != nil || info.Size() > limit*3/2 {
		t.Errorf("the database has %d bytes, %v, for %d of dead letters", info.Size(), err, limit)
	}
	if code, out, errOut := execute(t, settings, "", "deadletters", "list"); code != 0 ||
		strings.Count(out, "356307042441013") != 1 {
		t.Errorf("deadletters list: exit code %d, the known device's is not there\n%s%s", code, out, errOut)
	}
}

// flood has made-up devices of one address send frames as fast as they are acknowledged: for so long, and until so many
// of the bytes sent are acknowledged. It returns how many are.
func flood(
	s *server, frame func(worker, round int) (b []byte, ack string), duration time.Duration, least int64,
) (acknowledged int64) {
	var sent atomic.Int64
	ended, hangUp := context.WithCancel(s.t.Context())
	stop := attack(8, func(worker, round int) {
		v := &visitor{address: s.devices, from: "127.0.0.66"}
		if v.login(fmt.Sprintf("9%04d%09d", worker, round)) == nil {
			defer context.AfterFunc(ended, func() { v.conn.Close() })() // who is made to wait does not hold up the end
			for i := range 10 {
				b, ack := frame(worker, 10*round+i)
				v.conn.Write(b)
				if v.expect(ack) != nil {
					break
				}
				sent.Add(int64(len(b)))
			}
		}
		if v.conn != nil {
			v.conn.Close()
		}
	})
	end := func() { hangUp(); stop() }
	defer end()
	time.Sleep(duration) // of the flood
	testkit.EventuallyIn(s.t, "the flood is one", time.Minute, func() bool { return sent.Load() >= least })
	end()
	return sent.Load()
}

// Before, strangers had dead letters stored at 84 MB/s.
func TestFloodOfDeadLettersIsBounded(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir()})
	begun := time.Now()
	acknowledged := flood(s, func(worker, round int) ([]byte, string) {
		b := make([]byte, 60_000)
		copy(b, []byte{byte(teltonika.Codec8), 3})
		copy(b[1000:], fmt.Sprint(worker, round)) // the same frame again is a duplicate
		return teltonika.AppendFrame(nil, b), "\x00\x00\x00\x03"
	}, 4*time.Second, 16<<20)
	took := time.Since(begun)
	t.Logf("%d MB of dead letters acknowledged in %v", acknowledged/1e6, took)
	if most := int64(32<<20) + int64(took.Seconds()*(512<<10)); acknowledged > most {
		t.Errorf("%d bytes, want up to %d", acknowledged, most)
	}
}

// The smallest records take many times their size; UNLISTED_ADDRESS_RECORD_RATE bounds how many there are.
func TestFloodOfRecordsIsBounded(t *testing.T) {
	const rate = 20
	for name, least := range map[string]int64{"unbounded": 1 << 19, "bounded": 0} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			settings := map[string]string{"DATA_DIR": dir}
			if name == "bounded" {
				settings["UNLISTED_ADDRESS_RECORD_RATE"] = fmt.Sprint(rate)
			}
			s := startServer(t, settings)
			begun := time.Now()
			acknowledged := flood(s, func(worker, round int) ([]byte, string) {
				data := teltonika.AVLData{Codec: teltonika.Codec8, Records: make([]teltonika.Record, 255)}
				for i := range data.Records {
					data.Records[i].Timestamp = uint64(1_700_000_000_000 + worker*1e9 + round*255 + i)
				}
				b, err := data.AppendFrame(nil)
				if err != nil {
					t.Error(err)
				}
				return b, "\x00\x00\x00\xff"
			}, 3*time.Second, least)
			took := time.Since(begun)
			published := s.metric("teltonika_records_published_total")
			s.stop(syscall.SIGTERM, patience)
			info, err := os.Stat(filepath.Join(dir, "telemetry.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.0f records in %v, %d bytes sent, %d stored: %.1f bytes for each", published, took, acknowledged,
				info.Size(),
				float64(info.Size())/float64(acknowledged))
			most := rate*(600+took.Seconds()) + 255 // the last frame's records may go beyond it
			if over := published > most; over != (name == "unbounded") {
				t.Errorf("the bound is %.0f records", most)
			}
		})
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
	eventually(t, "the bytes of dead letters are shown", patience, func() bool {
		bytes := s.metric("telemetry_dead_letter_bytes")
		return bytes > limit*9/10 && bytes <= limit && s.metric("telemetry_dead_letter_limit_bytes") == limit
	})
	if !s.logged("oldest dead letters removed to make room for new ones: replay or delete them in time") {
		t.Error("it is not logged that dead letters are removed")
	}
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if info, err := os.Stat(filepath.Join(settings["DATA_DIR"], "telemetry.db")); err != nil || info.Size() > limit*3/2 {
		t.Errorf("the database has %d bytes, %v, for %d of dead letters", info.Size(), err, limit)
	}
	if code, out, errOut := execute(t, settings, "", "deadletters", "list"); code != 0 || strings.Count(out, "356307042441013") != 1 {
		t.Errorf("deadletters list: exit code %d, the known device's is not there\n%s%s", code, out, errOut)
	}
}

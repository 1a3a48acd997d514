package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// realTraffic are the frames of the traffic sample.
func realTraffic(t testing.TB) []teltonika.Frame {
	t.Helper()
	file, err := os.Open("../../teltonika/testdata/traffic.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []teltonika.Frame
	for lines := bufio.NewScanner(unzipped); lines.Scan(); {
		b, err := hex.DecodeString(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, b)
	}
	if len(frames) != 8752 {
		t.Fatalf("%d frames, expected 8752", len(frames))
	}
	return frames
}

// TestRealTraffic sends the traffic sample over many connections, cut into random segments, several frames ahead
// of their ACKs. Every record arrives once, in the order of its device, with the content that it was sent with.
func TestRealTraffic(t *testing.T) {
	frames := realTraffic(t)
	const devices = 60
	perDevice := make([][]teltonika.Frame, devices)
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range frames {
		d := r.IntN(devices)
		perDevice[d] = append(perDevice[d], f)
	}
	for _, open := range []func(testing.TB) store{func(t testing.TB) store { return redisStore(t) }, embeddedStore} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			s := startServer(t, store.settings)
			var wg sync.WaitGroup
			for d, own := range perDevice {
				wg.Go(func() {
					if err := replay(s.devices, deviceName(d), own, rand.New(rand.NewPCG(3, uint64(d)))); err != nil {
						t.Errorf("device %d: %v", d, err)
					}
				})
			}
			wg.Wait()
			s.wantBalance()
			wantTraffic(t, store.payloads(t), perDevice)
		})
	}
}

func deviceName(d int) string { return fmt.Sprintf("35999900000%04d", d) }

// replay logs in and sends the frames with up to four of them unanswered.
func replay(address, imei string, frames []teltonika.Frame, r *rand.Rand) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * patience))
	stream, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		return err
	}
	want := []byte{teltonika.LoginAccept}
	for _, f := range frames {
		for range r.IntN(2) {
			stream = append(stream, teltonika.KeepAlive)
		}
		stream = append(stream, f...)
		want = teltonika.AppendAck(want, f.Count())
	}
	answers := make(chan error, 1)
	go func() {
		got := make([]byte, len(want))
		_, err := io.ReadFull(conn, got)
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("answers differ: %x", got)
		}
		answers <- err
	}()
	for len(stream) > 0 {
		n := min(len(stream), 1+r.IntN(300))
		if _, err := conn.Write(stream[:n]); err != nil {
			return err
		}
		stream = stream[n:]
	}
	return <-answers
}

var receivedAt = regexp.MustCompile(`"received_at":"[^"]*"`)

func withoutReceivedAt(payload []byte) string {
	return string(receivedAt.ReplaceAll(payload, []byte(`"received_at":""`)))
}

// wantTraffic compares what is stored of each device with what it sent. A record that the sample holds twice for
// one device is stored at its first place.
func wantTraffic(t *testing.T, payloads []string, perDevice [][]teltonika.Frame) {
	t.Helper()
	got := make(map[string][]string)
	for _, p := range payloads {
		var r struct {
			DeviceID string `json:"device_id"`
		}
		if err := json.Unmarshal([]byte(p), &r); err != nil {
			t.Fatal(err)
		}
		got[r.DeviceID] = append(got[r.DeviceID], withoutReceivedAt([]byte(p)))
	}
	for d, frames := range perDevice {
		want := expected(t, deviceName(d), frames)
		stored := got[deviceName(d)]
		if len(stored) != len(want) {
			t.Errorf("device %d: %d records stored, want %d", d, len(stored), len(want))
			continue
		}
		for i := range want {
			if stored[i] != want[i] {
				t.Errorf("device %d record %d:\n got %s\nwant %s", d, i, stored[i], want[i])
				break
			}
		}
	}
}

func expected(t *testing.T, imei string, frames []teltonika.Frame) []string {
	t.Helper()
	var (
		data    teltonika.AVLData
		encoder record.Encoder
		seen    = make(map[string]bool)
		device  = meaning.NewDevice(meaning.Embedded(), imei) // learns from frame to frame, as the server does
		want    []string
	)
	for _, f := range frames {
		if err := data.Decode(f.Body()); err != nil {
			t.Fatal(err)
		}
		encoder.Begin(record.Origin{DeviceID: imei, Codec: data.Codec, Received: time.Now(), Meaning: device})
		for i := range data.Records {
			_, records, err := encoder.Append(nil, nil, &data.Records[i])
			if err != nil {
				t.Fatal(err)
			}
			if id := string(records[0].ID); !seen[id] {
				seen[id] = true
				want = append(want, withoutReceivedAt(records[0].Payload))
			}
		}
	}
	return want
}

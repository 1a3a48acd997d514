package mirror

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestOldPlatformSeesADevice: a login, frames in order, messages; and nothing is left when the device leaves.
func TestOldPlatformSeesADevice(t *testing.T) {
	p := newPlatform(t).come()
	m := mirrorTo(t, p)
	q := m.Hold(imei)
	m.expect(t, 1, "logins_total", outcomeAccepted) // before the first frame
	for tag := range byte(50) {
		if r := q.Offer(frame(tag)); r != nil {
			t.Fatal("a receipt that nobody asked for")
		}
	}
	q.Offer(frameOf(teltonika.Codec12, 0, 1, 10))
	q.Offer(frame(50))
	want := append(tags(0, 50), 'm', 50)
	p.has(imei, want)
	m.expect(t, 51, "frames_total", outcomeAcknowledged)
	m.expect(t, 1, "frames_total", outcomeSent)
	q.Release()
	testkit.Eventually(t, "the device is forgotten", func() bool {
		return m.devices() == 0 && m.total(t, "connections", "") == 0
	})
	if n := m.total(t, "waiting_frames", ""); n != 0 || len(p.logins) != 1 {
		t.Errorf("%v frames wait, logins %v", n, p.logins)
	}
	end(t, m)
	if files, _ := os.ReadDir(m.Dir); len(files) != 0 {
		t.Errorf("%d files are left of an empty buffer", len(files))
	}
}

func (m *Mirror) devices() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queues)
}

// size is how many bytes wait.
func (q *Queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// tags are those from one on, so many.
func tags(from byte, n int) (all []byte) {
	for i := range n {
		all = append(all, from+byte(i))
	}
	return all
}

// TestOldPlatformFails in each way; it is counted, sessions never wait, and when it is well again it gets what it has
// not answered, in order.
func TestOldPlatformFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail    func(*platform)
		metric  string
		outcome string
		lost    int // frames from the first on that it has answered, in its way
	}{
		"refuses the device": {func(p *platform) { p.login = func(string) []byte { return []byte{0} } },
			"logins_total", outcomeRefused, 0},
		"says anything to a login": {func(p *platform) { p.login = func(string) []byte { return []byte{'H'} } },
			"logins_total", outcomeWrongAnswer, 0},
		"hangs at the login": {func(p *platform) { p.login = func(string) []byte { return nil } },
			"logins_total", outcomeNoAnswer, 0},
		"answers nothing": {func(p *platform) { p.answer = func(string, int) any { return nil } },
			"frames_total", outcomeNoAnswer, 0},
		"drips": {func(p *platform) { p.answer = func(string, int) any { return 200 * time.Millisecond } },
			"frames_total", outcomeNoAnswer, 0},
		"closes": {func(p *platform) { p.answer = func(string, int) any { return closing{} } },
			"frames_total", outcomeClosed, 0},
		"lies":         {lies(0, 0, 0, 1), "frames_total", outcomeWrongAnswer, 1},
		"answers zero": {lies(0, 0, 0, 0), "frames_total", outcomeWrongAnswer, 1},
		"floods": {lies(append(bytes.Repeat([]byte{0}, 4), bytes.Repeat([]byte{0xee}, 9000)...)...),
			"frames_total", outcomeWrongAnswer, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t).come()
			p.set(c.fail)
			m := mirrorTo(t, p)
			q := m.Hold(imei)
			q.Offer(frame(0))
			m.expect(t, 1, c.metric, c.outcome)
			p.set(func(p *platform) { p.login, p.answer = accept, acknowledge })
			for tag := range byte(20) {
				q.Offer(frame(1 + tag))
			}
			p.has(imei, tags(0, 21))
			if n := m.total(t, "frames_total", outcomeAcknowledged) + float64(c.lost); n > 21 {
				t.Errorf("%v frames count as acknowledged or lied about", n)
			}
			if n := m.total(t, "dropped_total", ""); n != 0 {
				t.Errorf("%v are dropped", n)
			}
			q.Release()
		})
	}
}

// lies has the platform answer this.
func lies(answer ...byte) func(*platform) {
	return func(p *platform) { p.answer = func(string, int) any { return answer } }
}

// command is one that the old platform sends a device.
var command = teltonika.AppendFrame(nil, []byte{0x0c, 1, 5, 0, 0, 0, 3, 'c', 'p', 'u', 1})

// TestCommandsOfTheOldPlatform are read past and counted.
func TestCommandsOfTheOldPlatform(t *testing.T) {
	p := newPlatform(t).come()
	p.set(func(p *platform) {
		p.answer = func(_ string, n int) any {
			return append(append(bytes.Clone(command), command...), teltonika.AppendAck(nil, n)...)
		}
	})
	m := mirrorTo(t, p)
	q := m.Hold(imei)
	defer q.Release()
	q.Offer(frame(1))
	q.Offer(frame(2))
	p.has(imei, tags(1, 2))
	m.expect(t, 4, "commands_total", "")
	m.expect(t, 2, "frames_total", outcomeAcknowledged)
	if n := m.total(t, "frames_total", outcomeWrongAnswer); n != 0 {
		t.Errorf("%v commands are taken for answers", n)
	}
}

// TestCommandsWithoutEnd are no answer, and keep nobody from stopping.
func TestCommandsWithoutEnd(t *testing.T) {
	p := newPlatform(t).come()
	p.set(func(p *platform) { p.answer = func(string, int) any { return endless(command) } })
	m := mirrorTo(t, p)
	q := m.Hold(imei)
	q.Offer(frame(1))
	m.expect(t, 1, "frames_total", outcomeNoAnswer)
	m.expect(t, 2, "logins_total", outcomeAccepted)
	q.Release()
	end(t, m)
}

// TestAwayAndBack: what comes while the old platform is away waits on disk, also for devices that have left, and it
// gets each device's frames in order.
func TestAwayAndBack(t *testing.T) {
	p := newPlatform(t)
	m := mirrorTo(t, p)
	device := func(i int) string { return fmt.Sprintf("35630704244%04d", i) }
	for i := range 20 {
		q := m.Hold(device(i))
		for tag := range byte(40) {
			q.Offer(frame(tag))
		}
		q.Release()
	}
	m.expect(t, 800, "waiting_frames", "")
	m.expect(t, 20, "logins_total", outcomeUnreachable)
	if m.Err() == nil {
		t.Error("nothing is said of a platform that is away")
	}
	p.come()
	for i := range 20 {
		p.has(device(i), tags(0, 40))
	}
	testkit.Eventually(t, "all is done", func() bool { return m.devices() == 0 && m.Err() == nil })
	if bytes := m.total(t, "buffer_bytes", ""); m.total(t, "dropped_total", "") != 0 || bytes > beginAgain {
		t.Errorf("%v bytes are left of the buffer, or frames were dropped", bytes)
	}
}

// TestRestart: a new process brings what the one before has left, once, and before what comes then.
func TestRestart(t *testing.T) {
	p := newPlatform(t).come()
	m := mirrorTo(t, p)
	q := m.Hold(imei)
	q.Offer(frame(0))
	p.has(imei, tags(0, 1))
	m.expect(t, 1, "frames_total", outcomeAcknowledged)
	p.leave()
	for tag := range byte(9) {
		q.Offer(frame(1 + tag))
	}
	m.expect(t, 9, "waiting_frames", "")
	torn := filepath.Join(t.TempDir(), "killed") // what kill -9 leaves: the same files, with an end that was being written
	if err := os.CopyFS(torn, os.DirFS(m.Dir)); err != nil {
		t.Fatal(err)
	}
	tear(t, torn)
	q.Release()
	end(t, m)
	for _, dir := range []string{torn, m.Dir} {
		p.set(func(p *platform) { clear(p.got) })
		again := mirrorTo(t, p, func(o *Options) { o.Dir = dir })
		again.expect(t, 9, "waiting_frames", "")
		q := again.Hold(imei)
		q.Offer(frame(10))
		p.come()
		p.has(imei, tags(1, 10))
		testkit.Eventually(t, "what waits is counted as it was", func() bool { return q.size() == 0 })
		q.Release()
		testkit.Eventually(t, "all is done", func() bool { return again.devices() == 0 })
		p.leave()
	}
}

// tear adds half an entry to the newest segment.
func tear(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	f, err := os.OpenFile(files[len(files)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(appendEntry(nil, imei, frame(99))[:30]); err != nil {
		t.Fatal(err)
	}
}

// TestFullBuffer drops the oldest for the newest, counts them, and keeps disk and memory bounded, also for a device
// that is not tried meanwhile.
func TestFullBuffer(t *testing.T) {
	p := newPlatform(t)
	m := mirrorTo(t, p)
	var queues []*Queue
	for i := range 20 {
		q := m.Hold(fmt.Sprint(i))
		queues = append(queues, q)
		defer q.Release()
	}
	const rounds = 200
	for tag := range byte(rounds) { // 8 MB, twice the buffer
		for _, q := range queues {
			q.Offer(frameOf(teltonika.Codec8, tag, 1, 2000))
		}
		testkit.Eventually(t, "the inbox is empty", func() bool { return m.inbox.bytes.Load() == 0 })
	}
	var waiting float64
	testkit.Eventually(t, "each waits or is dropped", func() bool {
		waiting = m.total(t, "waiting_frames", "")
		return waiting+m.total(t, "dropped_total", "buffer_full") == rounds*20
	})
	if n := m.total(t, "buffer_bytes", ""); n > 4<<20 || waiting < rounds*20/3 {
		t.Errorf("%v wait of %d, the buffer has %v bytes", waiting, rounds*20, n)
	}
	p.come()
	m.expect(t, waiting, "frames_total", outcomeAcknowledged)
	p.set(func(p *platform) {
		for device, got := range p.got {
			if last := got[len(got)-1]; last != rounds-1 || !bytes.Equal(got, tags(rounds-byte(len(got)), len(got))) {
				t.Errorf("device %s: %v", device, got)
			}
		}
	})
}

// TestOneDeviceTakesAPart of the buffer only.
func TestOneDeviceTakesAPart(t *testing.T) {
	m := mirrorTo(t, newPlatform(t))
	q, other := m.Hold(imei), m.Hold("other")
	defer q.Release()
	defer other.Release()
	for range 600 { // 6 MB
		q.Offer(frameOf(teltonika.Codec8, 0, 1, 10_000))
		other.Offer(frame(1))
	}
	m.expect(t, 570, "dropped_total", "device_full")
	if n := m.total(t, "dropped_total", ""); n != m.total(t, "dropped_total", "device_full") {
		t.Errorf("%v dropped, also for another reason", n)
	}
}

// TestFullDisk: what cannot be written is dropped and counted, and when there is room again the mirror goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatalf("mount tmpfs (the tests need root): %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	p := newPlatform(t)
	m := mirrorTo(t, p, func(o *Options) { o.Dir, o.BufferBytes = dir, 64<<20 })
	q := m.Hold(imei)
	for range 50 {
		q.Offer(frameOf(teltonika.Codec8, 1, 1, 10_000))
		testkit.Eventually(t, "the inbox is empty", func() bool { return m.inbox.bytes.Load() == 0 })
	}
	m.expect(t, 10, "dropped_total", "disk")
	waiting := m.total(t, "waiting_frames", "")
	p.come()
	m.expect(t, waiting, "frames_total", outcomeAcknowledged)
	testkit.Eventually(t, "a frame finds room again", func() bool {
		q.Offer(frameOf(teltonika.Codec8, 2, 1, 10_000))
		return m.total(t, "frames_total", outcomeAcknowledged) > waiting
	})
	q.Release()
	end(t, m)
}

// TestPoison: a frame that the old platform never answers is given up, if it answers others.
func TestPoison(t *testing.T) {
	p := newPlatform(t).come()
	p.set(func(p *platform) {
		p.answer = func(_ string, n int) any {
			if n == 7 {
				return closing{}
			}
			return teltonika.AppendAck(nil, n)
		}
	})
	m := mirrorTo(t, p)
	q, other := m.Hold(imei), m.Hold("other")
	defer q.Release()
	defer other.Release()
	q.Offer(frameOf(teltonika.Codec8, 0, 7, 50))
	q.Offer(frame(1))
	testkit.Eventually(t, "the frame is given up", func() bool {
		other.Offer(frame(0))
		return m.total(t, "dropped_total", "unanswered") == 1
	})
	p.has(imei, tags(1, 1))
}

// TestMessagesAreNoAnswers: a platform that takes messages and answers no frame hangs, and its frames are kept.
func TestMessagesAreNoAnswers(t *testing.T) {
	p := newPlatform(t).come()
	p.set(func(p *platform) { p.answer = func(string, int) any { return closing{} } })
	m := mirrorTo(t, p)
	q, other := m.Hold(imei), m.Hold("other")
	defer q.Release()
	defer other.Release()
	q.Offer(frame(1))
	testkit.Eventually(t, "messages are sent between attempts", func() bool {
		other.Offer(frameOf(teltonika.Codec12, 0, 1, 10))
		return m.total(t, "frames_total", outcomeClosed) > 2*maxAttempts
	})
	if n := m.total(t, "dropped_total", ""); n != 0 || m.total(t, "frames_total", outcomeSent) < maxAttempts {
		t.Errorf("%v frames are dropped", n)
	}
	p.set(func(p *platform) { p.answer = acknowledge })
	p.has(imei, tags(1, 1))
}

// TestRefusedDevices keep little, and nothing when they have left, and many of them take nobody's place.
func TestRefusedDevices(t *testing.T) {
	p := newPlatform(t).come()
	p.set(func(p *platform) {
		p.login = func(device string) []byte { return teltonika.AppendLoginAnswer(nil, device == imei) }
	})
	m := mirrorTo(t, p, func(o *Options) { o.MaxDevices = 3 })
	stranger := m.Hold("stranger")
	m.expect(t, 1, "logins_total", outcomeRefused)
	testkit.Eventually(t, "it keeps little", func() bool {
		stranger.Offer(frameOf(teltonika.Codec8, 0, 1, 10_000))
		return m.total(t, "dropped_total", "refused") > 0
	})
	stranger.Release()
	testkit.Eventually(t, "the stranger is forgotten", func() bool { return m.devices() == 0 })
	p.leave()
	for i := range 50 {
		q := m.Hold(fmt.Sprint(i))
		q.Offer(frame(0))
		q.Release()
	}
	m.expect(t, 40, "dropped_total", "devices")
	q := m.Hold(imei)
	q.Offer(frame(1))
	p.come()
	p.has(imei, tags(1, 1))
	q.Release()
}

// TestFewRefusals cost a device that has left nothing.
func TestFewRefusals(t *testing.T) {
	p := newPlatform(t)
	refusals := 0
	p.set(func(p *platform) {
		p.login = func(string) []byte {
			refusals++
			return teltonika.AppendLoginAnswer(nil, refusals > 3)
		}
	})
	m := mirrorTo(t, p)
	q := m.Hold(imei)
	for tag := range byte(20) {
		q.Offer(frame(tag))
	}
	q.Release()
	p.come()
	p.has(imei, tags(0, 20))
	if n := m.total(t, "dropped_total", ""); n != 0 {
		t.Errorf("%v are dropped", n)
	}
}

// TestEvictedDevicesLeaveNothing: whoever makes up one device after the other keeps no goroutine of them waiting.
func TestEvictedDevicesLeaveNothing(t *testing.T) {
	m := mirrorTo(t, newPlatform(t), func(o *Options) { o.MaxDevices, o.pause = 3, maxPause })
	before := runtime.NumGoroutine()
	for i := range 200 {
		q := m.Hold(fmt.Sprint(i))
		q.Offer(frame(0))
		q.Release()
	}
	testkit.Eventually(t, "the evicted end", func() bool { return runtime.NumGoroutine() <= before+3 })
	testkit.Eventually(t, "each waits or is dropped", func() bool {
		waiting := m.total(t, "waiting_frames", "")
		return waiting <= 3 && waiting+m.total(t, "dropped_total", "devices") == 200
	})
}

// TestEvictsWhoHasNothing: a place is rather that of a device that has left nothing.
func TestEvictsWhoHasNothing(t *testing.T) {
	const devices = 11
	var queues []*Queue
	m := mirrorTo(t, newPlatform(t), func(o *Options) { o.MaxDevices, o.pause = devices, maxPause })
	for i := range devices {
		q := m.Hold(fmt.Sprint(i))
		if i > 0 {
			q.Offer(frame(0))
		}
		queues = append(queues, q)
	}
	m.expect(t, devices, "logins_total", outcomeUnreachable) // they pause
	m.expect(t, devices-1, "waiting_frames", "")
	for _, q := range queues {
		q.Release()
	}
	m.Hold("new").Release()
	if n := m.total(t, "dropped_total", ""); n != 0 || m.has("0") {
		t.Errorf("%v frames are dropped for a device's place", n)
	}
}

func (m *Mirror) has(device string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queues[device] != nil
}

// TestMoreDevicesThanPlaces: those that are connected keep theirs.
func TestMoreDevicesThanPlaces(t *testing.T) {
	p := newPlatform(t).come()
	m := mirrorTo(t, p, func(o *Options) { o.MaxDevices = 1 })
	q, more := m.Hold(imei), m.Hold("more")
	more.Offer(frame(0))
	q.Offer(frame(1))
	p.has(imei, tags(1, 1))
	m.expect(t, 1, "dropped_total", "devices")
	q.Release()
	more.Release()
}

// TestNoMirror costs nothing.
func TestNoMirror(t *testing.T) {
	var m *Mirror
	if m.Start() != nil || m.Err() != nil {
		t.Error("what is not there fails")
	}
	q, f := m.Hold(imei), frame(1)
	if n := testing.AllocsPerRun(100, func() {
		if !q.Offer(f).Confirmed(nil, always) {
			t.Error("somebody has to confirm")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	q.Release()
}

package mqttsink

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsclient"
)

func TestTopics(t *testing.T) {
	for _, c := range []struct {
		template string
		item     forward.Item
		want     string
	}{
		{"a/b", forward.Item{}, "a/b"},
		{"t/{device_id}/{codec}/{family}", forward.Item{DeviceID: "352093081452251", Codec: "8E", Family: "FMB120"},
			"t/352093081452251/8E/FMB120"},
		{"{family}", forward.Item{}, "unknown"},
		{"{device_id}x", forward.Item{DeviceID: "$SYS/+/#\x00\x1b\n é%"}, "%24SYS%2F%2B%2F%23%00%1B%0A%20%C3%A9%25x"},
		{"Grüße/{codec}{codec}", forward.Item{Codec: "8"}, "Grüße/88"},
	} {
		parsed, err := parseTemplate(c.template)
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		if got := parsed.topic(&c.item); got != c.want {
			t.Errorf("%s: %q, want %q", c.template, got, c.want)
		}
	}
	longest, err := parseTemplate(strings.Repeat("{codec}", maxTemplate/len("{codec}")))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(longest.topic(&forward.Item{Codec: strings.Repeat("/", 100_000)})); n > 65_535 {
		t.Errorf("a topic of %d bytes", n)
	}
	for _, wrong := range []string{
		"", "a/+/b", "a/#", "$SYS/a", "a\x00b", "a\nb", "a\u0085b", "\xff", "{imei}", "{device_id", "{}", "{{codec}}",
		strings.Repeat("a", maxTemplate+1),
	} {
		if _, err := parseTemplate(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// FuzzTopic: whatever a record says, it is one level.
func FuzzTopic(f *testing.F) {
	f.Add("352093081452251", "a/b+c#\x00$")
	parsed, err := parseTemplate("f/{device_id}/{family}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, device, family string) {
		topic := parsed.topic(&forward.Item{DeviceID: device, Family: family})
		if strings.Count(topic, "/") != 2 || strings.ContainsAny(topic, "+#$") || strings.ContainsFunc(topic, isControl) {
			t.Errorf("%q", topic)
		}
	})
}

// FuzzPacket: whatever a broker sends, it is a packet or an error.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x20, 3, 0, 0, 0}, byte(Version5))
	f.Add([]byte{0x40, 2, 0, 1}, byte(Version311))
	f.Add([]byte{0x40, 8, 0, 1, 0x97, 4, 0x1f, 0, 1, 'a'}, byte(Version5))
	f.Add([]byte{0xe0, 2, 0x8b, 0}, byte(Version5))
	f.Add([]byte{0xd0, 0}, byte(Version5))
	f.Fuzz(func(t *testing.T, sent []byte, version byte) {
		p, err := readPacket(bufio.NewReader(bytes.NewReader(sent)), version)
		if err == nil && p.FixedHeader.Remaining > len(sent) {
			t.Errorf("a packet of %d bytes out of %d", p.FixedHeader.Remaining, len(sent))
		}
		_ = reason(&p)
	})
}

// TestWrongOptions are all said, and no secret with them.
func TestWrongOptions(t *testing.T) {
	_, err := New(Options{URL: "mqtts://me:hunter2@host", Topic: "#", Password: secret.Text{File: "/nowhere"}}, nil)
	if err == nil || strings.Count(err.Error(), "\n") != 2 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	if _, err = New(Options{URL: "mqtts://host", Topic: "t", TLS: tlsclient.Files{CA: "/no-ca"}}, nil); err == nil {
		t.Error("a CA is not missed")
	}
	for url, address := range map[string]string{
		"mqtt://host": "host:1883", "mqtts://[::1]": "[::1]:8883", "mqtt://host:1/": "host:1",
	} {
		if s, err := New(Options{URL: url, Topic: "t"}, nil); err != nil || s.address != address {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, wrong := range []string{"http://host", "mqtt://", "mqtt://host/topic", "mqtt://host?x", "mqtt://me@host", ":"} {
		if _, err := New(Options{URL: wrong, Topic: "t"}, nil); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

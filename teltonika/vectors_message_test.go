package teltonika

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"
)

type wantMessage struct {
	Type      byte   `json:"type"`
	Size      uint32 `json:"size"`
	Timestamp uint32 `json:"timestamp"`
	IMEI      string `json:"imei"`
	Payload   string `json:"payload"`
}

func asWantMessage(m Message) wantMessage {
	return wantMessage{m.Type, m.Size, m.Timestamp, m.IMEI, hex.EncodeToString(m.Payload)}
}

func TestVectorsMessages(t *testing.T) {
	seen := 0
	for _, v := range vectors(t) {
		if !v.isMessage() {
			continue
		}
		seen++
		var m Messages
		err := m.Decode(v.body(t))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		var want []wantMessage
		if err := json.Unmarshal(v.Decoded, &want); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if m.Codec.String() != v.Codec || !m.Codec.IsMessage() || m.Quantity != v.Records || len(m.Messages) != len(want) {
			t.Errorf("%s: codec %v, quantity %d, %d messages", v.Name, m.Codec, m.Quantity, len(m.Messages))
			continue
		}
		for i, w := range want {
			if got := asWantMessage(m.Messages[i]); got != w {
				t.Errorf("%s: message %d:\n got %+v\nwant %+v", v.Name, i+1, got, w)
			}
		}
	}
	if seen != 39 {
		t.Errorf("%d message packets, expected 39", seen)
	}
}

// What real devices send beside the book.
func TestMessagesOddForms(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []wantMessage
	}{
		{"quantity 2 with one message", "0c02 06 00000002 0d0a 02", []wantMessage{{Type: 6, Size: 2, Payload: "0d0a"}}},
		{"quantity 0", "0c00 00", nil},
		{
			"quantity 1 with two messages", "0d01 06 00000005 00000001 41 06 00000005 00000002 42 01",
			[]wantMessage{{Type: 6, Size: 5, Timestamp: 1, Payload: "41"}, {Type: 6, Size: 5, Timestamp: 2, Payload: "42"}},
		},
		{
			"codec 13 size without the timestamp", "0d01 05 00000004 56e92422 23474554 01",
			[]wantMessage{{Type: 5, Size: 4, Timestamp: 0x56e92422, Payload: "23474554"}},
		},
		{
			"codec 14 size without the IMEI", "0e01 05 00000002 0352093081452251 4142 01",
			[]wantMessage{{Type: 5, Size: 2, IMEI: "352093081452251", Payload: "4142"}},
		},
		{
			"codec 15 size without timestamp and IMEI", "0f01 0b 00000000 00000007 0352093081452251 01",
			[]wantMessage{{Type: 11, Timestamp: 7, IMEI: "352093081452251"}},
		},
		{
			"IMEI of 16 digits", "0e01 06 00000008 3520930814522512 01",
			[]wantMessage{{Type: 6, Size: 8, IMEI: "3520930814522512"}},
		},
		{
			"IMEI filled with F", "0e01 06 00000008 f352093081452251 01",
			[]wantMessage{{Type: 6, Size: 8, IMEI: "f352093081452251"}},
		},
	} {
		var m Messages
		err := m.Decode(unhex(t, c.body))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(m.Messages) != len(c.want) {
			t.Errorf("%s: %d messages, want %d", c.name, len(m.Messages), len(c.want))
			continue
		}
		for i, w := range c.want {
			if got := asWantMessage(m.Messages[i]); got != w {
				t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, w)
			}
		}
	}
}

// A quantity of messages of which none is there is no frame without messages.
func TestMessagesOfWhichNoneIsThere(t *testing.T) {
	for _, body := range []string{"0c01 01", "0d03 03", "0e01 01", "0f02 02", "0c01 02"} {
		err := new(Messages).Decode(unhex(t, body))
		checkDecodeError(t, body, err, unhex(t, body))
		if !errors.Is(err, ErrOverrun) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Only a message that is alone may leave out the prefix in its size: of two, nobody knows where the second begins.
func TestMessagesOddSizeOfTwo(t *testing.T) {
	err := new(Messages).Decode(unhex(t, "0d02 05 00000001 00000001 41 05 00000001 00000001 42 02"))
	if !errors.Is(err, ErrOverrun) {
		t.Errorf("sizes without the timestamp in two messages: %v", err)
	}
}

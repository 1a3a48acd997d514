package teltonika

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The fixed part of a record, 24 bytes, of which nothing matters here.
const fixed = "000001905d35bd18 00 0f0ea850 209a6900 0094 00d6 0c 0000 "

type errorCase struct {
	name   string
	hex    string
	err    error
	field  string
	offset int
}

func checkErrors(t *testing.T, parse func([]byte) error, cases []errorCase) {
	t.Helper()
	for _, c := range cases {
		input := unhex(t, c.hex)
		err := parse(input)
		checkDecodeError(t, c.name, err, input)
		var e *Error
		if !errors.As(err, &e) {
			continue
		}
		if !errors.Is(err, c.err) || e.Field != c.field || e.Offset != c.offset {
			t.Errorf("%s: %v\nwant %s at byte %d: %v", c.name, err, c.field, c.offset, c.err)
		}
		fatal := c.err == ErrIncomplete || c.err == ErrLogin || c.err == ErrPreamble || c.err == ErrLength
		if e.StreamOK() == fatal {
			t.Errorf("%s: StreamOK is %v", c.name, e.StreamOK())
		}
	}
}

func TestErrorsAVL(t *testing.T) {
	decode := func(b []byte) error { var d AVLData; return d.Decode(b) }
	t.Run("8", func(t *testing.T) {
		checkErrors(t, decode, []errorCase{
			{"nothing", "", ErrOverrun, "data field", 0},
			{"two bytes", "0801", ErrOverrun, "data field", 0},
			{"unknown codec", "610000", ErrUnknownCodec, "codec id", 0},
			{"message codec", "0c0000", ErrUnknownCodec, "codec id", 0},
			{"n1 below n2", "080001", ErrCount, "number of data 2", 2},
			{"n1 above n2", "0801" + fixed + "00 00 00 00 00 00 02", ErrCount, "number of data 2", 32},
			{"trailing", "0800 abcd 00", ErrTrailing, "number of data 2", 2},
			{"trailing behind a record", "0801" + fixed + "00 00 00 00 00 00 ffff 01", ErrTrailing, "number of data 2", 32},
			{"no record", "0801 01", ErrOverrun, "record 1 timestamp", 2},
			{"timestamp cut", "0801 00000190 01", ErrOverrun, "record 1 timestamp", 2},
			{"priority cut", "0801 000001905d35bd18 01", ErrOverrun, "record 1 priority", 10},
			{"longitude cut", "0801 000001905d35bd18 00 0f0e 01", ErrOverrun, "record 1 longitude", 11},
			{"latitude cut", "0801 000001905d35bd18 00 0f0ea850 20 01", ErrOverrun, "record 1 latitude", 15},
			{"altitude cut", "0801 000001905d35bd18 00 0f0ea850 209a6900 00 01", ErrOverrun, "record 1 altitude", 19},
			{"angle cut", "0801 000001905d35bd18 00 0f0ea850 209a6900 0094 00 01", ErrOverrun, "record 1 angle", 21},
			{"satellites cut", "0801 000001905d35bd18 00 0f0ea850 209a6900 0094 00d6 01", ErrOverrun, "record 1 satellites", 23},
			{"speed cut", "0801 000001905d35bd18 00 0f0ea850 209a6900 0094 00d6 0c 00 01", ErrOverrun, "record 1 speed", 24},
			{"event id cut", "0801" + fixed + "01", ErrOverrun, "record 1 event id", 26},
			{"total cut", "0801" + fixed + "00 01", ErrOverrun, "record 1 total elements", 27},
			{"1-byte count cut", "0801" + fixed + "00 00 01", ErrOverrun, "record 1 1-byte element count", 28},
			{"1-byte id cut", "0801" + fixed + "00 00 02 0101 01", ErrOverrun, "record 1 1-byte element 2 id", 31},
			{"1-byte value cut", "0801" + fixed + "00 00 02 0101 01 01", ErrOverrun, "record 1 1-byte element 2 value", 32},
			{"2-byte count cut", "0801" + fixed + "00 00 00 01", ErrOverrun, "record 1 2-byte element count", 29},
			{"2-byte value cut", "0801" + fixed + "00 00 00 01 42 5d 01", ErrOverrun, "record 1 2-byte element 1 value", 31},
			{"4-byte count cut", "0801" + fixed + "00 00 00 00 01", ErrOverrun, "record 1 4-byte element count", 30},
			{"4-byte value cut", "0801" + fixed + "00 00 00 00 02 0101020304 02010203 01", ErrOverrun,
				"record 1 4-byte element 2 value", 37},
			{"8-byte count cut", "0801" + fixed + "00 00 00 00 00 01", ErrOverrun, "record 1 8-byte element count", 31},
			{"8-byte id cut", "0801" + fixed + "00 00 00 00 00 ff 01", ErrOverrun, "record 1 8-byte element 1 id", 32},
			{"second record", "0802" + fixed + "00 00 00 00 00 00" + fixed + "00 02", ErrOverrun, "record 2 total elements", 57},
		})
	})
	t.Run("16", func(t *testing.T) {
		checkErrors(t, decode, []errorCase{
			{"event id cut", "1001" + fixed + "00 01", ErrOverrun, "record 1 event id", 26},
			{"generation cut", "1001" + fixed + "0000 01", ErrOverrun, "record 1 generation type", 28},
			{"total cut", "1001" + fixed + "0000 05 01", ErrOverrun, "record 1 total elements", 29},
			{"1-byte count cut", "1001" + fixed + "0000 05 00 01", ErrOverrun, "record 1 1-byte element count", 30},
			{"2-byte id cut", "1001" + fixed + "0000 05 00 00 01 00 01", ErrOverrun, "record 1 2-byte element 1 id", 32},
			{"2-byte value cut", "1001" + fixed + "0000 05 00 00 01 0001 ff 01", ErrOverrun, "record 1 2-byte element 1 value",
				34},
			{"8-byte count cut", "1001" + fixed + "0000 05 00 00 00 00 01", ErrOverrun, "record 1 8-byte element count", 33},
			{"n1 above n2", "1001" + fixed + "0000 05 00 00 00 00 00 02", ErrCount, "number of data 2", 34},
			// No 16-byte group is looked for behind the others.
			{"trailing", "1001" + fixed + "0000 05 00 00 00 00 00 00 01", ErrTrailing, "number of data 2", 34},
		})
	})
	t.Run("8E", func(t *testing.T) {
		const head = "8e01" + fixed + "0000 0000 "
		checkErrors(t, decode, []errorCase{
			{"event id cut", "8e01" + fixed + "00 01", ErrOverrun, "record 1 event id", 26},
			{"total cut", "8e01" + fixed + "0000 00 01", ErrOverrun, "record 1 total elements", 28},
			{"1-byte count cut", head + "00 01", ErrOverrun, "record 1 1-byte element count", 30},
			{"1-byte value cut", head + "0001 00ef 01", ErrOverrun, "record 1 1-byte element 1 value", 34},
			{"65,535 elements", head + "ffff 00ef01 01", ErrOverrun, "record 1 1-byte element 2 id", 35},
			{"2-byte count cut", head + "0000 00 01", ErrOverrun, "record 1 2-byte element count", 32},
			{"4-byte value cut", head + "0000 0000 0001 0010 000000 01", ErrOverrun, "record 1 4-byte element 1 value", 38},
			{"8-byte value cut", head + "0000 0000 0000 0001 0010 000000 01", ErrOverrun, "record 1 8-byte element 1 value", 40},
			{"variable count cut", head + "0000 0000 0000 0000 01", ErrOverrun, "record 1 variable-length element count", 38},
			{"variable id cut", head + "0000 0000 0000 0000 0001 014b 00 01", ErrOverrun,
				"record 1 variable-length element 1 id and length", 40},
			{"variable value cut", head + "0000 0000 0000 0000 0002 014b 0000 0181 0003 abcd 01", ErrOverrun,
				"record 1 variable-length element 2 value", 48},
			{"variable value of 65,535", head + "0000 0000 0000 0000 0001 0181 ffff 01", ErrOverrun,
				"record 1 variable-length element 1 value", 44},
			{"trailing", head + "0000 0000 0000 0000 0000 00 01", ErrTrailing, "number of data 2", 40},
			{"n1 below n2", "8e0001", ErrCount, "number of data 2", 2},
		})
	})
}

func TestErrorsFrame(t *testing.T) {
	checkErrors(t, func(b []byte) error {
		frame, rest, err := ParseFrame(b, 100)
		if err != nil {
			if frame != nil || len(rest) != len(b) {
				t.Errorf("%x: frame %x, rest %x with an error", b, frame, rest)
			}
			return err
		}
		return frame.Verify()
	}, []errorCase{
		{"nothing", "", ErrIncomplete, "frame header", 0},
		{"header cut", "00000000000000", ErrIncomplete, "frame header", 0},
		{"data cut", "0000000000000003 8e00", ErrIncomplete, "data field", 8},
		{"CRC cut", "0000000000000003 8e0000 00002b", ErrIncomplete, "data field", 8},
		{"preamble", "0000000100000003 8e0000 00002b60", ErrPreamble, "preamble", 0},
		{"HTTP", "474554202f20485454502f312e310d0a", ErrPreamble, "preamble", 0},
		{"length 0", "0000000000000000 00000000", ErrLength, "data field length", 4},
		{"length 2", "0000000000000002 8e00 00000000", ErrLength, "data field length", 4},
		{"length max+1", "0000000000000065 8e00", ErrLength, "data field length", 4},
		{"length of 4 GiB", "00000000ffffffff 8e00", ErrLength, "data field length", 4},
		{"CRC", "0000000000000003 8e0000 00002b61", ErrCRC, "CRC", 11},
		{"upper half of the CRC", "0000000000000003 8e0000 00012b60", ErrCRC, "CRC", 11},
		{"upper half all ones", "0000000000000003 8e0000 ffff2b60", ErrCRC, "CRC", 11},
	})
}

func TestHeaderLimits(t *testing.T) {
	header := unhex(t, "00000000 00000064")
	if size, err := ParseHeader(header, 100); err != nil || size != 112 {
		t.Errorf("length at the limit: size %d, %v", size, err)
	}
	for _, limit := range []int{99, 0, -1} {
		if _, err := ParseHeader(header, limit); !errors.Is(err, ErrLength) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestErrorsLogin(t *testing.T) {
	checkErrors(t, func(b []byte) error { _, err := ParseLogin(b); return err }, []errorCase{
		{"nothing", "", ErrIncomplete, "login length", 0},
		{"one byte", "00", ErrIncomplete, "login length", 0},
		{"length 0, a frame", "0000000000000003", ErrLogin, "login length", 0},
		{"length 65", "0041" + strings.Repeat("31", 65), ErrLogin, "login length", 0},
		{"HTTP", "474554202f", ErrLogin, "login length", 0},
		{"cut", "000f 333532", ErrIncomplete, "login identifier", 2},
		{"cut, and no login already", "003d cafe01", ErrLogin, "login identifier", 2},
		{"more bytes behind", "0001 31 32", ErrLogin, "login identifier", 3},
		{"space", "0003 312033", ErrLogin, "login identifier", 3},
		{"NUL", "0003 313200", ErrLogin, "login identifier", 4},
		{"not ASCII", "0002 c3a9", ErrLogin, "login identifier", 2},
	})
	for _, identifier := range []string{"1", "azAZ09", strings.Repeat("7", 64)} {
		packet, err := AppendLogin(nil, identifier)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseLogin(packet); err != nil || got != identifier {
			t.Errorf("login of %q: %q, %v", identifier, got, err)
		}
	}
}

func TestErrorsMessages(t *testing.T) {
	checkErrors(t, func(b []byte) error { return new(Messages).Decode(b) }, []errorCase{
		{"two bytes", "0c01", ErrOverrun, "data field", 0},
		{"AVL codec", "080000", ErrUnknownCodec, "codec id", 0},
		{"type and size cut", "0c01 05 000000 01", ErrOverrun, "message 1 type and size", 2},
		{"size too high", "0c01 05 00000003 4142 01", ErrOverrun, "message 1 size", 3},
		{"size of 4 GiB", "0c01 05 ffffffff 4142 01", ErrOverrun, "message 1 size", 3},
		{"size below the timestamp", "0d02 05 00000003 41424344 02", ErrOverrun, "message 1 size", 3},
		{"size below the IMEI", "0e02 05 00000007 4142434445464748 02", ErrOverrun, "message 1 size", 3},
		{"second message", "0c02 05 00000001 41 05 00000002 41 02", ErrOverrun, "message 2 size", 9},
		{"behind the last message", "0c01 05 00000001 41 42 01", ErrOverrun, "message 2 type and size", 8},
		{"quantities", "0c01 05 00000001 41 02", ErrCount, "quantity 2", 8},
	})
}

func TestErrorsUDP(t *testing.T) {
	const head = "003d cafe 01 05 "
	checkErrors(t, func(b []byte) error { _, err := ParseDatagram(b); return err }, []errorCase{
		{"nothing", "", ErrIncomplete, "UDP header", 0},
		{"header cut", head + "00", ErrIncomplete, "UDP header", 0},
		{"IMEI length 0", head + "0000 8e0000", ErrLogin, "IMEI length", 6},
		{"IMEI length 65", head + "0041 8e0000", ErrLogin, "IMEI length", 6},
		{"IMEI cut", head + "000f 3335", ErrIncomplete, "IMEI", 8},
		{"IMEI with a space", head + "0002 3120 8e0000", ErrLogin, "IMEI", 9},
		{"no data", head + "0001 31 8e00", ErrIncomplete, "data field", 9},
	})
	checkErrors(t, func(b []byte) error { _, err := ParseAnswer(b); return err }, []errorCase{
		{"cut", "0005cafe0105", ErrIncomplete, "UDP answer", 0},
		{"too long", "0005cafe01050100", ErrTrailing, "UDP answer", 7},
		{"length", "0006cafe010501", ErrLength, "length", 0},
	})
}

// Whoever cannot decode a data field can still say how many records it claims to have.
func TestCountAfterError(t *testing.T) {
	for body, want := range map[string]int{"": 0, "08": 0, "0805": 5, "8e07ff": 7, "61ff00": 255, "08020000": 2} {
		var data AVLData
		if err := data.Decode(unhex(t, body)); err == nil || data.Count != want {
			t.Errorf("%s: count %d, %v, want %d and an error", body, data.Count, err, want)
		}
	}
}

func TestErrorShift(t *testing.T) {
	var data AVLData
	err := data.Decode(unhex(t, "080001"))
	moved := Shift(err, HeaderSize)
	var e, original *Error
	if !errors.As(moved, &e) || e.Offset != 10 || !errors.Is(moved, ErrCount) {
		t.Errorf("moved: %v", moved)
	}
	if !errors.As(err, &original) || original.Offset != 2 {
		t.Errorf("the original is now %v", err)
	}
	want := "number of data 2 at byte 10: number of data 1 and 2 differ: 1, number of data 1 is 0"
	if moved.Error() != want {
		t.Errorf("text %q, want %q", moved, want)
	}
	other := fmt.Errorf("of another kind")
	_, encoding := AppendLogin(nil, "")
	for _, err := range []error{other, nil, encoding} {
		if Shift(err, 1) != err {
			t.Errorf("%v was changed", err)
		}
	}
}

func TestCodecNames(t *testing.T) {
	names := map[Codec]string{
		Codec7: "7", Codec8: "8", Codec8E: "8E", Codec16: "16", Codec12: "12", Codec13: "13", Codec14: "14", Codec15: "15",
		0x61: "0x61", 0: "0x00",
	}
	for c := range 256 {
		codec := Codec(c)
		want, known := names[codec]
		if !known {
			want = fmt.Sprintf("0x%02x", c)
		}
		avl := codec == Codec7 || codec == Codec8 || codec == Codec8E || codec == Codec16
		message := codec == Codec12 || codec == Codec13 || codec == Codec14 || codec == Codec15
		if codec.String() != want || codec.IsAVL() != avl || codec.IsMessage() != message {
			t.Errorf("codec %#x: %q, AVL %v, message %v", c, codec, codec.IsAVL(), codec.IsMessage())
		}
	}
}

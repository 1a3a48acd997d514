package teltonika

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// conversation is what a device sends that is idle at times: a login and two frames.
func conversation(t testing.TB) (stream []byte, frames []Frame) {
	stream, err := AppendLogin([]byte{KeepAlive, KeepAlive}, "356307042441013")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range tcpVectors(t)[:2] {
		frames = append(frames, v)
		stream = append(append(stream, KeepAlive), v...)
	}
	return append(stream, KeepAlive), frames
}

// tcpVectors are frames that are right.
func tcpVectors(t testing.TB) (frames []Frame) {
	for _, codec := range []Codec{Codec8, Codec8E, Codec16} {
		frame, err := (&AVLData{Codec: codec, Records: []Record{{Timestamp: 1}}}).AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	return frames
}

func TestReadConversation(t *testing.T) {
	stream, frames := conversation(t)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "bytewise": iotest.OneByteReader(bytes.NewReader(stream)),
		"end with data": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			if imei, err := ReadLogin(r); imei != "356307042441013" || err != nil {
				t.Fatalf("login %q, %v", imei, err)
			}
			for i, want := range frames {
				if got, err := ReadFrame(r, 65536); !bytes.Equal(got, want) || err != nil {
					t.Fatalf("frame %d is %x, %v, want %x", i, got, err, want)
				}
			}
			if f, err := ReadFrame(r, 65536); err != io.EOF {
				t.Errorf("after the last frame: %x, %v, want io.EOF", f, err)
			}
		})
	}
}

func TestReadCutConversation(t *testing.T) {
	stream, frames := conversation(t)
	ends := map[int]bool{len(stream): true, len(stream) - 1: true, 0: true, 1: true, 2: true} // between two packets
	ends[2+17], ends[2+17+1] = true, true
	ends[2+17+1+len(frames[0])], ends[2+17+1+len(frames[0])+1] = true, true
	for n := range len(stream) + 1 {
		r := bytes.NewReader(stream[:n])
		_, err := ReadLogin(r)
		for err == nil {
			_, err = ReadFrame(r, 65536)
		}
		if want := map[bool]error{true: io.EOF, false: io.ErrUnexpectedEOF}[ends[n]]; err != want {
			t.Errorf("cut after %d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestReadRefusesWhatIsNoPacket(t *testing.T) {
	if _, err := ReadLogin(strings.NewReader("GET / HTTP/1.1\r\n")); !errors.Is(err, ErrLogin) {
		t.Errorf("login of a browser: %v", err)
	}
	if _, err := ReadFrame(strings.NewReader("GET / HTTP/1.1\r\n"), 65536); !errors.Is(err, ErrPreamble) {
		t.Errorf("frame of a browser: %v", err)
	}
	if _, err := ReadFrame(bytes.NewReader([]byte{0, 0, 0, 0, 0, 1, 0, 1, 8}), 65536); !errors.Is(err, ErrLength) {
		t.Errorf("frame of 65,537 bytes: %v", err)
	}
}

func TestReadFrameTakesMemoryForWhatArrives(t *testing.T) {
	header := []byte{0, 0, 0, 0, 0x10, 0, 0, 0, 8, 1} // announces 256 MiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ReadFrame(bytes.NewReader(header), 1<<30); err != io.ErrUnexpectedEOF {
		t.Errorf("error %v", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes for a frame of which 2 arrived", n)
	}
}

func TestValidIdentifier(t *testing.T) {
	for identifier, want := range map[string]bool{
		"356307042441013": true, "a": true, "Zz09": true, strings.Repeat("9", MaxLoginLength): true,
		"": false, strings.Repeat("9", MaxLoginLength+1): false, "3563 7": false, "35630704244101\x00": false, "é": false,
		"a_b": false,
	} {
		if got := ValidIdentifier(identifier); got != want {
			t.Errorf("ValidIdentifier(%q) is %v", identifier, got)
		}
		if got := ValidIdentifier([]byte(identifier)); got != want {
			t.Errorf("ValidIdentifier([]byte(%q)) is %v", identifier, got)
		}
	}
}

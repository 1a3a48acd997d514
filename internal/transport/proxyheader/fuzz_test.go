package proxyheader

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// Whatever comes, the header is read to its end and no further, says the same however it comes, and is refused by a
// known reason or names a client.
func FuzzHeader(f *testing.F) {
	for _, g := range good {
		f.Add(g.header)
		f.Add(with(g.header, []byte(behind)))
	}
	for _, b := range bad {
		f.Add(b.header)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		trust := balancers(t)
		whole, kind, err := trust.Header(&stream{Reader: bytes.NewReader(data)})
		slow, slowKind, slowErr := trust.Header(&stream{Reader: iotest.OneByteReader(bytes.NewReader(data))})
		if kind != slowKind || (err == nil) != (slowErr == nil) {
			t.Fatalf("at once %v, %v; byte by byte %v, %v", kind, err, slowKind, slowErr)
		}
		if err != nil {
			refused, ok := errors.AsType[*Error](err)
			if !ok || !slices.Contains(Reasons, refused.Reason) || refused.Offset < 0 || refused.Offset > len(data) ||
				refused.Err == nil {
				t.Fatalf("refused by %#v", err)
			}
			return
		}
		rest, err := io.ReadAll(whole)
		if err != nil || !bytes.HasSuffix(data, rest) {
			t.Fatalf("%q is left, %v", rest, err)
		}
		header := data[:len(data)-len(rest)]
		if slowRest, _ := io.ReadAll(slow); len(slowRest) != len(rest) {
			t.Fatalf("%d bytes are left, and byte by byte %d", len(rest), len(slowRest))
		}
		if len(header) == 0 && len(data) > 0 {
			t.Fatal("no header is taken for one")
		}
		if _, again, err := trust.Header(&stream{Reader: bytes.NewReader(header)}); again != kind || err != nil {
			t.Fatalf("the header alone is %v, %v, and with more %v", again, err, kind)
		}
	})
}

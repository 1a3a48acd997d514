package explain

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestParseHex(t *testing.T) {
	for _, text := range []string{
		"00ff1a", "00FF1A", "0x00ff1a", "0x00 0XfF 0x1a", "00:ff:1a", " 00 ff\t1a\r\n", "0 0f f1a", ":0x00:0xff:0x1a:",
	} {
		if got, err := ParseHex(text); err != nil || !bytes.Equal(got, []byte{0x00, 0xff, 0x1a}) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}

func TestParseHexErrors(t *testing.T) {
	for text, want := range map[string]HexError{
		"":        {1, "no hex digits"},
		" 0x ":    {5, "no hex digits"},
		"00g0":    {3, `"g" is not a hex digit`},
		"00 é0":   {4, `"é" is not a hex digit`},
		"é":       {1, `"é" is not a hex digit`},
		"\xff":    {1, `"\xff" is not a hex digit`},
		"00x1":    {3, `"x" is not a hex digit`},
		"0x0x":    {4, `"x" is not a hex digit`},
		"000":     {3, "the last byte has only one digit"},
		"00 0":    {4, "the last byte has only one digit"},
		"00,0f":   {3, `"," is not a hex digit`},
		"# 00":    {1, `"#" is not a hex digit`},
		"0\x0000": {2, `"\x00" is not a hex digit`},
	} {
		got, err := ParseHex(text)
		var hexErr *HexError
		if !errors.As(err, &hexErr) || *hexErr != want || got != nil {
			t.Errorf("%q: %x, %v, expected %v", text, got, err, &want)
		}
	}
}

func TestBadHexIsAPacket(t *testing.T) {
	for _, transport := range []Transport{Auto, TCP, UDP} {
		got := objects(t, "000g", transport)
		if len(got) != 1 || got[0]["ok"] != false || !strings.Contains(got[0]["error"].(string), "character 4") {
			t.Errorf("%s: %v", transport, got)
		}
		if transport != Auto && got[0]["transport"] != string(transport) || transport == Auto && got[0]["transport"] != nil {
			t.Errorf("%s: %v", transport, got)
		}
	}
}

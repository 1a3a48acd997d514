package explain

import (
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestLookupElement(t *testing.T) {
	tests := []struct {
		id    uint16
		group teltonika.Group
		want  ElementInfo
	}{
		{66, teltonika.Group2, ElementInfo{66, 2, "External Voltage", Unsigned, false, "0.001", "V"}},
		{72, teltonika.Group4, ElementInfo{72, 4, "Dallas Temperature 1", Signed, false, "0.1", "°C"}},
		{72, teltonika.Group2, ElementInfo{72, 2, "Dallas Temperature 1", Signed, false, "0.1", "°C"}},
		{80, teltonika.Group1, ElementInfo{80, 1, "Data Mode", Unsigned, false, "", ""}},
		{80, teltonika.Group4, ElementInfo{80, 4, "Wheel Based Speed", Unsigned, false, "", "km/h"}},
		{385, teltonika.GroupX, ElementInfo{385, 0, "Beacon", Pattern, true, "", ""}},
		{256, teltonika.GroupX, ElementInfo{256, 0, "VIN", ASCII, false, "", ""}},
		{66, teltonika.Group4, ElementInfo{66, 4, "External Voltage", Unsigned, false, "", ""}}, // not its size
		{66, teltonika.GroupX, ElementInfo{66, 0, "External Voltage", Pattern, false, "", ""}},
		{80, teltonika.Group8, ElementInfo{80, 8, "Data Mode", Unsigned, true, "", ""}},
	}
	for _, tt := range tests {
		if got, ok := LookupElement(tt.id, tt.group); !ok || got != tt.want {
			t.Errorf("%d in group %d: %+v, %v, expected %+v", tt.id, tt.group, got, ok, tt.want)
		}
	}
	if got, ok := LookupElement(65000, teltonika.Group1); ok {
		t.Errorf("65000: %+v", got)
	}
	if got, ok := LookupElementID(80); !ok || got.Name != "Data Mode" || !got.Differs {
		t.Errorf("80: %+v, %v", got, ok)
	}
}

// TestElementTable checks every line of the table.
func TestElementTable(t *testing.T) {
	lines := 0
	seen := map[[2]int]bool{}
	for line := range strings.Lines(elementsTSV) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		info, ok := parseElement(strings.TrimSuffix(line, "\n"))
		if !ok {
			t.Errorf("not read: %q", line)
		}
		key := [2]int{int(info.ID), info.Size}
		if seen[key] {
			t.Errorf("%d of %d bytes stands twice", info.ID, info.Size)
		}
		seen[key] = true
		switch info.Size {
		case 0, 1, 2, 4, 8:
		default:
			t.Errorf("%d: size %d", info.ID, info.Size)
		}
		if !strings.Contains("usha", string(rune(info.Kind))) || strings.TrimSpace(info.Name) == "" {
			t.Errorf("%+v", info)
		}
		if info.Multiplier != "" && elementValue(info, teltonika.Group1, []byte{0}) == "0" {
			t.Errorf("%d: multiplier %q", info.ID, info.Multiplier)
		}
	}
	if lines < 2000 || len(elementsTSV) > 120_000 {
		t.Errorf("%d lines, %d bytes", lines, len(elementsTSV))
	}
}

func TestElementValue(t *testing.T) {
	temperature, _ := LookupElement(72, teltonika.Group4)
	tests := []struct {
		info  ElementInfo
		group teltonika.Group
		raw   string
		want  string
	}{
		{ElementInfo{Kind: Unsigned, Multiplier: "0.001", Unit: "V"}, teltonika.Group2, "5e0f", "24079 (24.079 V)"},
		{temperature, teltonika.Group4, "ffffff9c", "-100 (-10.0 °C)"},
		{ElementInfo{Kind: Unsigned, Multiplier: "50"}, teltonika.Group1, "03", "3 (150)"},
		{ElementInfo{Kind: Unsigned, Multiplier: "0.001", Unit: "l"}, teltonika.Group8, "ffffffffffffffff",
			"18446744073709551615 (18446744073709551.615 l)"},
		{ElementInfo{Kind: Signed, Unit: "%"}, teltonika.Group8, "8000000000000000", "-9223372036854775808%"},
		{ElementInfo{Kind: Pattern}, teltonika.Group4, "0000ab01", "0x0000ab01"},
		{ElementInfo{}, teltonika.Group1, "ff", "255"}, // an unknown one
		{ElementInfo{Kind: ASCII}, teltonika.GroupX, "574155", `"WAU"`},
		{ElementInfo{Kind: Pattern}, teltonika.GroupX, "1112", "2 bytes"},
		{ElementInfo{Kind: Pattern}, teltonika.GroupX, "0x", "empty"},
		{ElementInfo{Kind: Unsigned}, teltonika.Group16, "0000000000000000000000000000000a", "16 bytes"},
	}
	for _, tt := range tests {
		raw, _ := ParseHex(tt.raw)
		if got := elementValue(tt.info, tt.group, raw); got != tt.want {
			t.Errorf("%+v of %s: %q, expected %q", tt.info, tt.raw, got, tt.want)
		}
	}
}

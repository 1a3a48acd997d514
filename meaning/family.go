package meaning

import (
	"fmt"
	"strings"
)

// Family is a line of devices whose element ids mean the same. The zero value is no family.
type Family uint8

// The families, the most frequent first.
const (
	FMB  Family = iota + 1 // FMB, FMC, FMM, FMU, FMT, FMP, GH5200 and so on, but not their 6xx
	FMX6                   // FMB6xx, FMC6xx, FMM6xx
	TAT                    // asset trackers
	FT                     // FTC, FTM, ATC, ATM
	FM63                   // FM63xx
	FM36                   // FM36xx
	FM11                   // FM10xx, FM11xx, FM12xx
)

const families = int(FM11)

var familyNames = [families + 1]string{"", "fmb", "fmx6", "tat", "ft", "fm63", "fm36", "fm11"}

// Families are all families, in the order in which one is taken for more likely than the next.
func Families() []Family { return []Family{FMB, FMX6, TAT, FT, FM63, FM36, FM11} }

// String is the family's name in the dictionary and the record: "fmb". It is empty for no family.
func (f Family) String() string {
	if int(f) > families {
		return fmt.Sprintf("Family(%d)", uint8(f))
	}
	return familyNames[f]
}

// ParseFamily is the family of that name, as String gives it, in any case.
func ParseFamily(name string) (Family, error) {
	for f, known := range familyNames {
		if f > 0 && strings.EqualFold(name, known) {
			return Family(f), nil
		}
	}
	return 0, fmt.Errorf("no family %.100q: it is one of %s", name, strings.Join(familyNames[1:], ", "))
}

// familyPrefixes are how the names of a family's models begin, longer ones before shorter ones.
var familyPrefixes = []struct {
	prefix string
	family Family
}{
	{"FMB6", FMX6}, {"FMC6", FMX6}, {"FMM6", FMX6}, {"FMX6", FMX6},
	{"FMB", FMB}, {"FMC", FMB}, {"FMM", FMB}, {"FMU", FMB}, {"FMT", FMB}, {"FMP", FMB}, {"FM30", FMB}, {"GH52", FMB},
	{"MSP", FMB}, {"MTB", FMB}, {"TFT", FMB}, {"TMT", FMB}, {"TST", FMB}, {"TSM", FMB},
	{"TAT", TAT},
	{"FTC", FT}, {"FTM", FT}, {"ATC", FT}, {"ATM", FT},
	{"FM63", FM63}, {"FM64", FM63}, {"FM36", FM36}, {"FM10", FM11}, {"FM11", FM11}, {"FM12", FM11},
}

// FamilyOfModel is the family of a model such as FMC130, or none. Case does not matter.
func FamilyOfModel(model string) Family {
	for _, p := range familyPrefixes {
		if len(model) >= len(p.prefix) && strings.EqualFold(model[:len(p.prefix)], p.prefix) {
			return p.family
		}
	}
	return 0
}

// familySet is a set of families, one bit each.
type familySet uint8

func (s familySet) has(f Family) bool { return s>>f&1 != 0 }

func (s familySet) with(f Family) familySet { return s | 1<<f }

package meaning

import "strings"

// By says how a device's family is known.
type By uint8

// The ways, the weakest first.
const (
	ByElements By = iota // from the elements that it sends
	ByGetver             // it has said so, in an answer to getver
	ByMap                // the user's map says so
)

var byNames = [...]string{"elements", "getver", "map"}

// String is the way as in the record's device.by.
func (b By) String() string { return byNames[min(int(b), len(byNames)-1)] }

// Identity is what is known of a device beside its elements. The zero value is nothing.
type Identity struct {
	Family   Family // pins the family; none: that of the model, if that is known
	Model    string // such as FMC130; at most MaxModel letters, digits, - and _
	Firmware string // as getver says it, such as 03.27.07_00: temperatures have an old scale before 03.28
	By       By
}

// MaxModel is the longest name of a model, and of a firmware, in bytes.
const MaxModel = 32

// Identify joins what the user's map says of a device with what the device has said itself. The map is right where
// both say something else; of a device that says it is of another family nothing is taken over.
func Identify(mapped, getver Identity) Identity {
	mapped, getver = mapped.normal(), getver.normal()
	if mapped.Family == 0 && mapped.Model == "" {
		return getver
	}
	if mapped.Family != getver.Family {
		return mapped
	}
	mapped.Firmware = getver.Firmware
	if mapped.Model == "" {
		mapped.Model = getver.Model
	}
	return mapped
}

// normal has the model in capitals, its family if none is said, and nothing that is no model.
func (i Identity) normal() Identity {
	i.Model = strings.ToUpper(i.Model)
	if !isModel(i.Model) {
		i.Model = ""
	}
	if i.Family == 0 || int(i.Family) > families {
		i.Family = FamilyOfModel(i.Model)
	}
	if i.Family == 0 {
		i.By = ByElements
	}
	return i
}

func isModel(s string) bool {
	return len(s) <= MaxModel && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// ParseIdentity reads the second word of a line of the user's map: a model or a family.
func ParseIdentity(s string) (Identity, bool) {
	if f, err := ParseFamily(s); err == nil {
		return Identity{Family: f, By: ByMap}, true
	}
	i := Identity{Model: s, By: ByMap}.normal()
	return i, i.Family != 0
}

// legacyBefore is the firmware with which temperatures of Bluetooth sensors got their new scale and error codes.
const legacyBefore = "03.28"

// legacy reports whether the firmware is one with the old scale. An unknown one is not.
func (i Identity) legacy() bool {
	return len(i.Firmware) >= len(legacyBefore) && isVersion(i.Firmware) && i.Firmware[:len(legacyBefore)] < legacyBefore
}

// isVersion reports whether s begins as 03.28 does.
func isVersion(s string) bool {
	for i, c := range []byte(s[:len(legacyBefore)]) {
		if (c == '.') != (i == 2) || c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

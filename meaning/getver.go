package meaning

import "strings"

// ParseGetver reads the model and the firmware of a device's answer to the command getver:
//
//	Ver:03.18.14_04 GPS:AXN_5.10_3333 Hw:FMB120 Mod:15 IMEI:352093081452251 Init:2018-11-22 7:13 Uptime:17234 …
//
// It reports whether the answer names a model. IMEI, if it is there, is the device that it speaks of.
func ParseGetver(answer string) (i Identity, imei string, ok bool) {
	const longest = 1024 // of the answers seen none has 300 bytes
	for field := range strings.FieldsSeq(answer[:min(len(answer), longest)]) {
		name, value, _ := strings.Cut(field, ":")
		switch {
		case strings.EqualFold(name, "Ver") && i.Firmware == "" && isFirmware(value):
			i.Firmware = value
		case strings.EqualFold(name, "Hw") && i.Model == "":
			i.Model = value
		case strings.EqualFold(name, "IMEI") && imei == "" && len(value) <= 64:
			imei = value
		}
	}
	i.By = ByGetver
	i = i.normal()
	return i, imei, i.Model != "" && i.Firmware != ""
}

func isFirmware(s string) bool {
	return s != "" && len(s) <= MaxModel && isModel(strings.ReplaceAll(strings.ToUpper(s), ".", ""))
}

package meaning

import (
	"strings"
	"testing"
)

func TestFamilyOfModel(t *testing.T) {
	for model, want := range map[string]string{
		"FMC130": "fmb", "fmb120": "fmb", "FMB640": "fmx6", "FMC650": "fmx6", "FMM640": "fmx6", "FMU130": "fmb",
		"GH5200": "fmb", "FMT100": "fmb", "TAT140": "tat", "FTC881": "ft", "ATM700": "ft", "FM6300": "fm63", "FM3001": "fmb",
		"FM3612": "fm36", "FM1100": "fm11", "FM1202": "fm11", "": "", "FM": "", "XYZ": "", "GH3000": "",
	} {
		if got := FamilyOfModel(model); got.String() != want {
			t.Errorf("%s: %v, expected %s", model, got, want)
		}
	}
	for _, f := range Families() {
		if got, err := ParseFamily(strings.ToUpper(f.String())); got != f || err != nil {
			t.Errorf("%v: %v %v", f, got, err)
		}
	}
	for _, none := range []string{"", "fmb1", "Family(9)"} {
		if f, err := ParseFamily(none); err == nil {
			t.Errorf("%q is %v", none, f)
		}
	}
}

func TestParseGetver(t *testing.T) {
	for answer, want := range map[string]string{
		"Ver:03.18.14_04 GPS:AXN_5.10_3333 Hw:FMB120 Mod:15 IMEI:352093081452251 Init:2018-11-22 7:13 Uptime:17234 " +
			"MAC:60BDD0016261 SPC:1(0) AXL:0 OBD:0 BL:1.6 BT:4": "fmb FMB120 03.18.14_04 352093081452251",
		"Ver:03.27.07_00 GPS:AXN_5.1.9 Hw:FMB130 Mod:42 IMEI:356 Init:2023-11-1 6:58": "fmb FMB130 03.27.07_00 356",
		"ver:00.02.33 gps:x hw:fmb640":           "fmx6 FMB640 00.02.33 ",
		"Ver:55.00.07 Hw:TAT100 Hw:FMB120 Ver:1": "tat TAT100 55.00.07 ",
		"Ver:1.2 Hw:NEW900":                      " NEW900 1.2 ",
		"Ver:1.2":                                "no",
		"Hw:FMB120":                              "no",
		"":                                       "no",
		"Param ID:2004 Value:FMB120":             "no",
		"Ver:1 Hw:FMB\"120":                      "no",
		"Ver:1 Hw:" + strings.Repeat("F", 33):    "no",
		"Ver:" + strings.Repeat("0", 33) + " Hw:FMB120":      "no",
		strings.Repeat(" ", 2000) + "Ver:03.27.07 Hw:FMB120": "no",
	} {
		i, imei, ok := ParseGetver(answer)
		got := strings.Join([]string{i.Family.String(), i.Model, i.Firmware, imei}, " ")
		if !ok {
			got = "no"
		} else if i.Family != 0 && i.By != ByGetver {
			t.Errorf("%q: by %v", answer, i.By)
		}
		if got != want {
			t.Errorf("%.60q: %q, expected %q", answer, got, want)
		}
	}
}

// TestIdentify: the map wins, and the device's own word adds what does not contradict it.
func TestIdentify(t *testing.T) {
	said := Identity{Model: "FMC130", Firmware: "03.27.07", By: ByGetver}
	for _, c := range []struct{ mapped, want string }{
		{"", "fmb FMC130 getver 03.27.07"},
		{"fmb", "fmb FMC130 map 03.27.07"},
		{"fmx6", "fmx6  map "},
		{"FMB640", "fmx6 FMB640 map "},
		{"fmc150", "fmb FMC150 map 03.27.07"},
	} {
		mapped, ok := ParseIdentity(c.mapped)
		if ok != (c.mapped != "") {
			t.Errorf("%q: %v", c.mapped, ok)
		}
		i := Identify(mapped, said)
		if got := strings.Join([]string{i.Family.String(), i.Model, i.By.String(), i.Firmware}, " "); got != c.want {
			t.Errorf("%q: %q, expected %q", c.mapped, got, c.want)
		}
	}
	for _, none := range []string{"", "FMB 120", "nothing", "fmb\"", strings.Repeat("FMB1", 9)} {
		if i, ok := ParseIdentity(none); ok {
			t.Errorf("%q is %+v", none, i)
		}
	}
}

func FuzzGetver(f *testing.F) {
	f.Add("Ver:03.18.14_04 GPS:AXN_5.10_3333 Hw:FMB120 Mod:15 IMEI:352093081452251")
	f.Fuzz(func(t *testing.T, answer string) {
		i, _, ok := ParseGetver(answer)
		if ok && (i.Model == "" || len(i.Model) > MaxModel || strings.ContainsAny(i.Model, "\"\\ \x00")) {
			t.Fatalf("%+v", i)
		}
		r := Resolve(Embedded(), imei, i, &Evidence{})
		checkMember(t, r, 25, Width2, 3000, nil)
	})
}

package explain

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// The place of the tests' device, and how it may be said: the coordinates in degrees, in 1e-7 degree and as sent, the
// altitude, the cell, and what a command's answer says.
var (
	placed = teltonika.Record{Timestamp: 1560161086000, Longitude: 252560283, Latitude: 546674250, Altitude: 17213,
		Satellites: 11, Speed: 42}
	secrets = []string{"25.256", "54.667", "252560283", "546674250", "0f0dbf9b", "2095978a", "0f 0d", "20 95", "433d",
		"43 3d", "17213", "44771", "aee3", "ae e3", "+54.6674", "35342e36363734", "Lat:"}
)

// packetsWithPlaces are packets in hex by what they are, all of which say where the device is.
func packetsWithPlaces(t *testing.T) map[string][]byte {
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	all := map[string][]byte{}
	for _, codec := range []teltonika.Codec{teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16} {
		r := placed
		r.AddNumber(72, teltonika.Group4, 210) // of the FMB family, most likely
		r.AddNumber(239, teltonika.Group1, 1)
		r.AddNumber(205, teltonika.Group2, 44771)
		if codec == teltonika.Codec8E {
			r.AddBytes(387, teltonika.GroupX, []byte("+54.6674+025.2560/"))
		}
		data := teltonika.AVLData{Codec: codec, Records: []teltonika.Record{r, r}}
		all[codec.String()] = must(data.AppendFrame(nil))
		body := must(data.AppendBody(nil))
		all["UDP "+codec.String()] = must(teltonika.Datagram{IMEI: "356307042441013", Body: body}.Append(nil))
		wrong := bytes.Clone(all[codec.String()])
		wrong[len(wrong)-1]++
		all["wrong CRC "+codec.String()] = wrong
		all["cut off "+codec.String()] = wrong[:len(wrong)-20]
		body[len(body)-1]++
		all["numbers differ "+codec.String()] = teltonika.AppendFrame(nil, body)
		body[1] = 9
		all["malformed "+codec.String()] = teltonika.AppendFrame(nil, body)
		body[0] = 0x99
		all["unknown "+codec.String()] = teltonika.AppendFrame(nil, body)
		all["malformed UDP "+codec.String()] = must(teltonika.Datagram{IMEI: "356307042441013", Body: body}.Append(nil))
	}
	m := teltonika.Messages{Codec: teltonika.Codec12, Messages: []teltonika.Message{
		{Type: teltonika.TypeResponse, Payload: []byte("GPS:1 Lat:54.6674250 Long:25.2560283")}}}
	all["answer"] = must(m.AppendFrame(nil))
	all["another tracker"] = []byte("+RESP:GTFRI,060228,Lat:54.667425,25.2560283")
	return all
}

// TestHiddenPositions: nothing that is written says where the device is, and everything does that is not hidden.
func TestHiddenPositions(t *testing.T) {
	for name, raw := range packetsWithPlaces(t) {
		for _, hides := range []bool{true, false} {
			var shown bytes.Buffer
			told, dots := "", 0
			for p := range Packets(raw, Auto) {
				if hides {
					p.HidePositions()
				}
				p.WriteText(&shown)
				var object bytes.Buffer
				p.WriteJSON(&object)
				if !json.Valid(object.Bytes()) {
					t.Errorf("%s: not JSON: %s", name, object.Bytes())
				}
				text, n := p.Hex()
				told, dots = told+text, dots+n
				fmt.Fprintln(&shown, object.String(), text)
			}
			found := ""
			for _, s := range secrets {
				if strings.Contains(shown.String(), s) {
					found = s
				}
			}
			if (found == "") != hides {
				t.Errorf("%s, hidden %v: found %q in\n%s", name, hides, found, &shown)
			}
			if (dots > 0) != hides || strings.Count(told, hiddenByte) != dots || len(told) != 2*len(raw) {
				t.Errorf("%s, hidden %v: %d bytes hidden in %s", name, hides, dots, told)
			}
			if !hides && told != hex.EncodeToString(raw) {
				t.Errorf("%s: %s", name, told)
			}
		}
	}
}

// TestWhatIsNotHidden: what else a packet says is still there.
func TestWhatIsNotHidden(t *testing.T) {
	for p := range Packets(packetsWithPlaces(t)["8E"], TCP) {
		p.HidePositions()
		var text, object bytes.Buffer
		p.WriteText(&text)
		p.WriteJSON(&object)
		for _, want := range []string{"2019-06-10T10:04:46.000Z", "speed = 42 km/h", "longitude = hidden",
			".. .. .. ..", "72 onewire.temperature.1 = 210 (21 °C)", "205 gsm.cellid = hidden", "CRC = "} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("no %q in\n%s", want, &text)
			}
		}
		for _, want := range []string{`"lon_1e7":null,"lat_1e7":null,"altitude":null`, `"speed":42`, `[205,2,null]`,
			`"onewire.temperature.1":21`} {
			if !strings.Contains(object.String(), want) {
				t.Errorf("no %s in\n%s", want, &object)
			}
		}
	}
	command := teltonika.Messages{Codec: teltonika.Codec12, Messages: []teltonika.Message{
		{Type: teltonika.TypeCommand, Payload: []byte("getgps")}}}
	frame, err := command.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	for p := range Packets(frame, TCP) {
		p.HidePositions()
		if text, n := p.Hex(); n > 0 || text != hex.EncodeToString(frame) {
			t.Errorf("%d bytes of a command are hidden: %s", n, text)
		}
	}
}

// TestAnswered: what was answered stands in place of what would be.
func TestAnswered(t *testing.T) {
	for p := range Packets(packetsWithPlaces(t)["8E"], TCP) {
		p.Answered(nil, "refused: overflow")
		var text, object bytes.Buffer
		p.WriteText(&text)
		p.WriteJSON(&object)
		if !strings.Contains(text.String(), "answer: none (refused: overflow)") ||
			!strings.Contains(object.String(), `"ack":null`) {
			t.Errorf("%s%s", &text, &object)
		}
	}
}

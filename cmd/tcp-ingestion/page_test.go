package main

import (
	"net"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	pageToken   = "correct-horse-battery-staple"
	shownDevice = "356307042441019"
	// hostile does something if anybody takes it for HTML.
	hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>`
)

// tour is an operator who looks at a server in a browser.
type tour struct {
	*browser
	server *server
	origin string
}

// TestOperatorsPage goes through the page in a real browser, as an operator does. Devices and strangers say what would
// do something if it were more than text.
func TestOperatorsPage(t *testing.T) {
	store := embeddedStore(t)
	store.settings["ADMIN_TOKEN"] = pageToken
	store.bury(t, "malformed", frameOf(t, 0, 2, false))
	store.bury(t, hostile, brokenFrame(t))
	s := startServer(t, store.settings)
	v := &tour{browser: openBrowser(t), server: s, origin: "http://" + s.admin + "/"}
	v.signIn()
	d := v.seeDeviceAppear()
	v.command(d)
	v.tap(d)
	v.doors()
	v.themes()
	v.wantNoComplaint(v.origin, "401 (Unauthorized) "+v.origin+"v1/status", "/v1/devices/"+otherDevice,
		"/v1/deadletters/2/replay", "/v1/devices/"+shownDevice+"/commands")
	v.wantReadOnlyWithoutToken()
}

// wantReadOnlyWithoutToken looks at another server, which has no token.
func (v *tour) wantReadOnlyWithoutToken() {
	v.t.Helper()
	s := startServer(v.t, embeddedStore(v.t).settings)
	d := s.connect(shownDevice)
	defer d.Close()
	v.open("http://" + s.admin + "/#/devices/" + shownDevice)
	v.waitText("p", "Read-only")
	v.waitText("section", "Commands")
	v.waitGone("form")
}

func (v *tour) signIn() {
	v.t.Helper()
	v.open(v.origin)
	v.waitText("h1", "Sign in")
	v.fill("#token", "wrong")
	v.waitText("p", "The token is wrong")
	v.fill("#token", pageToken)
	v.waitText("section", "Ready")
	v.waitText("section", "Every record fsynced before its ACK")
}

// seeDeviceAppear has a device log in while the list is open, filters, and looks at the device.
func (v *tour) seeDeviceAppear() *testkit.Tracker {
	v.t.Helper()
	v.click(`nav a[href="#/devices"]`)
	v.waitText("section", "no such device")
	d := v.server.connect(shownDevice)
	startFleet(v.t, v.server.devices, 12, func(o *simulate.Options) { o.Rate = 12 })
	v.waitText("td", shownDevice)
	v.waitTrue("13 devices", `document.querySelectorAll("tbody tr").length === 13`)
	v.fill("#filter", "999")
	v.waitText("section", "no such device")
	v.do("clear the filter", chromedp.Clear(chromedp.CSS("#filter")))
	v.server.connect("T7")
	v.fill("#filter", "T7") // all of a name that is no IMEI
	v.waitText("td", "T7")
	v.do("clear the filter again", chromedp.Clear(chromedp.CSS("#filter")))
	v.fill("#filter", shownDevice[:9])
	v.waitTrue("one device", `document.querySelectorAll("tbody tr").length === 1`)
	v.click("#d-" + shownDevice)
	v.waitText("h1", shownDevice)
	now := uint64(time.Now().UnixMilli())
	for i := range uint64(8) {
		at := int32(i)
		r := teltonika.Record{Timestamp: now + 10_000*i, Latitude: 546674250 + 7000*at, Longitude: 252560283 + 9000*at*at,
			Satellites: 11, Speed: 48}
		r.AddNumber(66, teltonika.Group2, 12045)
		r.AddBytes(256, teltonika.GroupX, []byte(hostile))
		d.SendFrame(teltonika.Codec8E, r)
		d.ExpectACK(1)
	}
	v.waitText("td", "54.672325 25.3001283")
	v.waitText("td", "external.powersource.voltage 12.045 V")
	v.waitTrue("a graticule", `document.querySelectorAll("svg.map circle").length === 8`)
	return d
}

// command sends commands, one of which is taken back.
func (v *tour) command(d *testkit.Tracker) {
	v.t.Helper()
	v.fill("#command", "getver")
	d.Answer(d.ExpectCommand("getver"), "Ver:03.27.07_00 GPS:AXN_5.10_3333 Hw:FMB120 Mod:15 IMEI:"+shownDevice)
	v.waitText("dd", "FMB120")
	v.waitText("h2", "Why")
	v.picture("device")
	v.fill("#command", "getinfo")
	d.Answer(d.ExpectCommand("getinfo"), hostile)
	v.waitText("td", hostile)
	v.fill("#command", "defaultcfg")
	v.waitText("#confirm", "Send all the same")
	v.do("change what was refused", chromedp.SendKeys(chromedp.CSS("#command"), " "))
	v.waitGone("#confirm") // for what is confirmed is what was refused
	v.open(v.origin + "#/devices/" + otherDevice)
	v.waitText("h1", otherDevice)
	v.fill("#command", "getver")
	v.waitText("td", "queued")
	v.click(`[id^="cancel-"]`)
	v.waitText("td", "cancelled")
}

// tap watches what comes.
func (v *tour) tap(d *testkit.Tracker) {
	v.t.Helper()
	v.click(`nav a[href="#/traffic"]`)
	v.click("#positions")
	v.click("#tap")
	v.waitTrue("the tap is open",
		`[...document.querySelectorAll("[role=status]")].some((say) => /^(Waiting|The newest)/.test(say.textContent))`)
	message := teltonika.Messages{Codec: teltonika.Codec12,
		Messages: []teltonika.Message{{Type: teltonika.TypeResponse, Payload: []byte(hostile)}}}
	frame, err := message.AppendFrame(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	d.Send(frame)
	v.knock(hostile)
	v.waitText("summary", "frame of")
	v.waitText("summary", "malformed")
	v.waitTrue("they can be opened", `[...document.querySelectorAll("details")].every((d) => d.open = true)`)
	v.waitText("pre", "onerror=alert(1)")
	v.click("#tap")
	v.waitText("[role=status]", "Stopped")
}

// knock says something that is no login.
func (v *tour) knock(text string) {
	v.t.Helper()
	c, err := net.Dial("tcp", v.server.devices)
	if err != nil {
		v.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		v.t.Fatal(err)
	}
	c.Read(make([]byte, 1)) // until it is closed
}

// doors looks at strangers, and shows, replays and deletes dead letters.
func (v *tour) doors() {
	v.t.Helper()
	v.click(`nav a[href="#/doors"]`)
	v.waitText("td", "malformed login")
	v.waitText("td", "127.0.0.1")
	v.waitText("td", hostile)
	v.click("#show-1")
	v.waitText("pre", "Codec 8")
	v.click("#replay-2")
	v.waitText("p", "it stays")
	v.click("#replay-1")
	v.waitText("p", "2 records stored")
	v.waitGone("#replay-1")
	v.click("#delete-2")
	v.waitText("#delete-2", "Really")
	v.click("#delete-2")
	v.waitText("p", "Deleted")
	v.waitGone("#replay-2")
}

// themes switches between light and dark, and looks at the page on a phone.
func (v *tour) themes() {
	v.t.Helper()
	v.click(`nav a[href="#/now"]`)
	v.waitText("section", "Ready")
	grounds := map[string]bool{}
	v.picture("now")
	for _, theme := range []string{"light", "dark"} {
		v.click("#theme")
		v.waitText("#theme", theme)
		ground, err := evaluate[string](v.browser, `getComputedStyle(document.body).backgroundColor`)
		if err != nil {
			v.t.Fatal(err)
		}
		grounds[ground] = true
	}
	if len(grounds) != 2 {
		v.t.Errorf("the grounds are %v", grounds)
	}
	v.do("as a phone", chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile))
	v.waitTrue("the page is as wide as a phone", `document.documentElement.scrollWidth <= innerWidth`)
	v.do("not as a phone", chromedp.EmulateReset())
}

package main

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const pageToken = "correct-horse-battery-staple"

// hostile is what does something if anybody takes it for HTML.
const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>`

// TestOperatorsPage goes through the page in a real browser, as an operator does.
func TestOperatorsPage(t *testing.T) {
	store := embeddedStore(t)
	store.settings["ADMIN_TOKEN"] = pageToken
	store.bury(t, "malformed", frameOf(t, 0, 2, false), brokenFrame(t))
	s := startServer(t, store.settings)
	b := openBrowser(t)
	origin := "http://" + s.admin + "/"

	b.open(origin)
	b.waitText("h1", "Sign in")
	b.fill("#token", pageToken)
	b.waitText("section", "Ready")
	b.waitText("section", "fsynced")

	d := b.appears(s)
	b.asks(origin, d)
	b.buried()
	b.themes()
	b.wantNoComplaint(origin)
}

const shownDevice = "356307042441019"

// appears has a device log in while the list is open, and looks at it.
func (b *browser) appears(s *server) *testkit.Tracker {
	b.t.Helper()
	b.click(`nav a[href="#/devices"]`)
	b.waitText("section", "no such device")
	d := s.connect(shownDevice)
	b.waitText("td", shownDevice)
	b.picture("devices")
	b.fill("#filter", "999")
	b.waitText("section", "no such device")
	b.do("clear the filter", chromedp.Clear(chromedp.CSS("#filter")))
	b.fill("#filter", shownDevice[:5])
	b.waitText("td", shownDevice)
	b.click("#d-" + shownDevice)
	b.waitText("h1", shownDevice)
	now := uint64(time.Now().UnixMilli())
	d.SendFrame(teltonika.Codec8E,
		teltonika.Record{Timestamp: now, Latitude: 546674250, Longitude: 252560283, Satellites: 11, Speed: 48},
		teltonika.Record{Timestamp: now + 1000, Latitude: 546684250, Longitude: 252590283, Satellites: 11, Speed: 50})
	d.ExpectACK(2)
	b.waitText("td", "54.668425 25.2590283")
	b.waitTrue("a graticule", `document.querySelectorAll("svg.map circle").length === 2`)
	return d
}

// asks sends commands and takes one back.
func (b *browser) asks(origin string, d *testkit.Tracker) {
	b.t.Helper()
	b.fill("#command", "getinfo")
	d.Answer(d.ExpectCommand("getinfo"), hostile)
	b.waitText("td", hostile)
	b.picture("device")
	b.open(origin + "#/devices/" + otherDevice)
	b.fill("#command", "getver")
	b.waitText("td", "queued")
	b.click(`[id^="cancel-"]`)
	b.waitText("td", "cancelled")
}

// buried shows, replays and deletes dead letters.
func (b *browser) buried() {
	b.t.Helper()
	b.click(`nav a[href="#/doors"]`)
	b.click("#show-1")
	b.waitText("pre", "Codec 8")
	b.click("#replay-2")
	b.waitText("p", "it stays")
	b.click("#replay-1")
	b.waitText("p", "2 records stored")
	b.waitGone("#replay-1")
	b.picture("doors")
	b.click("#delete-2")
	b.waitText("#delete-2", "Really")
	b.click("#delete-2")
	b.waitText("p", "Deleted")
	b.waitGone("#replay-2")
}

// themes switches between light and dark.
func (b *browser) themes() {
	b.t.Helper()
	b.click(`nav a[href="#/now"]`)
	b.waitText("section", "Ready")
	grounds := map[string]bool{}
	for _, theme := range []string{"light", "dark"} {
		b.click("#theme")
		b.waitText("#theme", theme)
		ground, err := evaluate[string](b, `getComputedStyle(document.body).backgroundColor`)
		if err != nil {
			b.t.Fatal(err)
		}
		grounds[ground] = true
		b.picture("now-" + theme)
	}
	if len(grounds) != 2 {
		b.t.Errorf("the grounds are %v", grounds)
	}
	b.do("as a phone", chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile))
	b.waitTrue("the page is as wide as a phone", `document.documentElement.scrollWidth <= innerWidth`)
	b.picture("phone")
	b.do("not as a phone", chromedp.EmulateReset())
}

package command

// How many commands may be open, which is without a final state, so that whoever sends more than devices take is told
// at once.
const (
	// MaxOpenOfDevice is for one device, connected or not. At a device's pace that is 8 minutes of work.
	MaxOpenOfDevice = 256
	// MaxOpen is for all devices together: one for each that an instance remembers, such as a new setting for a fleet.
	MaxOpen = 100_000
)

// MaxPage is the most commands that a Page has. It has fewer where they are large; see [PageBytes].
const MaxPage = 200

// PageBytes is for the payloads and responses of a Page. A page that has so many bytes ends with the next commands.
const PageBytes = 1 << 20

// Query selects commands, the newest first.
type Query struct {
	IMEI   string // of this device; empty: of all
	Open   bool   // only those without a final state
	Before int64  // Page.Next of the page before; 0 for the newest
	Limit  int    // 1 to MaxPage
}

// Page is a part of a list, the newest first.
type Page struct {
	Entries []Entry
	Next    int64 // Query.Before of the next page; 0 if there is none
}

// Size is how many bytes of a page's the entry takes.
func (e *Entry) Size() int { return len(e.Payload) + len(e.Response) }

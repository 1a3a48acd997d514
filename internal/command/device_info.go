package command

import "time"

// Device is a device that is connected now.
type Device struct {
	IMEI      string
	Since     time.Time // its login
	Remote    string    // address and port
	Transport string    // tcp, …
	Codec     string    // of its last frame of records; empty before the first
	Frames    uint64    // acknowledged on this connection
	Records   uint64
	LastSeen  time.Time // when it last sent a whole frame, or logged in
	Model     string    // as its owner's map or its answer to getver says, empty if neither does
}

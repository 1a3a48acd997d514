// Package simulate drives a fleet of simulated trackers against a server, over TCP, TLS or UDP: they move plausibly,
// report IO elements as real devices do, keep every record until it is acknowledged and send it again after a
// timeout or a lost connection. What they were promised stands in a Ledger at the end.
//
// All records follow from the seed, but for which elements a device has: those follow from its IMEI. A device's records
// do not depend on the other devices or on timing.
package simulate

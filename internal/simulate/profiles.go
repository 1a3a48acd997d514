package simulate

import (
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// profile is what one kind of device reports: which IO elements, of which sizes, with which values. Ids,
// sizes, order, ranges and weights are those of real traffic.
type profile struct {
	codec    teltonika.Codec
	weight   int    // how many records of this kind there are among those of its codec
	event    uint16 // the element that a record is sent for at times; 0 = periodic records only
	priority uint8  // of such a record
	elements []element
	variable []variableElement // Codec 8 Extended only
	aside    bool              // sent now and then between the records of a device's own profile
}

// element is one IO element of 1, 2, 4 or 8 bytes.
type element struct {
	id        uint16
	group     teltonika.Group
	low, high uint64 // values, inclusive; equal = a constant
	from      source
}

// source says where an element's value comes from.
type source uint8

const (
	fromNoise        source = iota // anything between low and high
	fromIgnition                   // 1 while it is on
	fromMotion                     // 1 while moving
	fromSpeed                      // km/h
	fromOdometer                   // m
	fromDevice                     // low plus the device's number
	fromDeviceDigits               // the device's number as 8 ASCII digits
)

// variableElement is one IO element with a length of its own.
type variableElement struct {
	id      uint16
	content content
	count   int // of beacons
}

type content uint8

const (
	empty   content = iota // length 0
	vin                    // 17 characters, the vehicle's
	beacons                // a header byte, then 22 bytes for each iBeacon heard
)

const (
	one   = teltonika.Group1
	two   = teltonika.Group2
	four  = teltonika.Group4
	eight = teltonika.Group8
)

// simulated reports whether there are profiles of the codec.
func simulated(c teltonika.Codec) bool {
	return slices.ContainsFunc(profiles, func(p profile) bool { return p.codec == c })
}

// profiles is the table. Common ids: 1 to 4, 50, 51 digital inputs, 179, 180 outputs, 239 ignition,
// 240 movement, 21 GSM signal, 24 speed, 66 supply mV, 67 battery mV, 72 to 75 temperature 0.1 °C
// (3000 = no sensor), 181, 182 PDOP and HDOP, 205, 206 cell and area, 241 operator, 16 odometer,
// 17 to 19 acceleration mG, 69 satellite state, 200 sleep mode, 11, 14 ICCID, 256 VIN, 385 beacons.
var profiles = []profile{
	{codec: teltonika.Codec8, weight: 4227, event: 2, priority: 2, elements: []element{
		{id: 1, group: one}, {id: 2, group: one, high: 1}, {id: 3, group: one}, {id: 4, group: one},
		{id: 179, group: one, high: 1}, {id: 180, group: one, high: 1}, {id: 50, group: one}, {id: 51, group: one},
		{id: 72, group: two, low: 235, high: 292},
	}},
	{codec: teltonika.Codec8, weight: 4129, event: 179, priority: 1, elements: []element{
		{id: 21, group: one, low: 3, high: 5}, {id: 1, group: one}, {id: 179, group: one, high: 1}, {id: 2, group: one},
		{id: 180, group: one}, {id: 66, group: two, low: 11_800, high: 12_175},
		{id: 205, group: two, low: 11_492, high: 11_493},
		{id: 67, group: two, low: 4107, high: 4121}, {id: 72, group: four, low: 69, high: 288},
		{id: 73, group: four, low: 63, high: 290}, {id: 74, group: four, low: 70, high: 293},
	}},
	{codec: teltonika.Codec8, weight: 2141, event: 180, priority: 1, elements: []element{
		{id: 21, group: one, low: 2, high: 5}, {id: 1, group: one}, {id: 179, group: one}, {id: 2, group: one},
		{id: 180, group: one, high: 1}, {id: 66, group: two, low: 11_780, high: 11_812},
		{id: 205, group: two, low: 11_492, high: 11_493}, {id: 67, group: two, low: 4100, high: 4149},
		{id: 72, group: four, low: 235, high: 292},
	}},
	{codec: teltonika.Codec8, weight: 1813, elements: []element{
		{id: 1, group: one, high: 1, from: fromIgnition}, {id: 2, group: one, high: 1}, {id: 3, group: one},
		{id: 4, group: one},
		{id: 179, group: one}, {id: 180, group: one}, {id: 50, group: one}, {id: 51, group: one},
		{id: 21, group: one, low: 3, high: 5},
		{id: 67, group: two, low: 9850, high: 10_289}, {id: 66, group: two, low: 11_900, high: 12_077},
		{id: 24, group: two, from: fromSpeed}, {id: 72, group: two, low: 230, high: 285},
		{id: 73, group: two, low: 3000, high: 3000}, {id: 74, group: two, low: 3000, high: 3000},
		{id: 75, group: two, low: 3000, high: 3000}, {id: 205, group: four, low: 11_492, high: 11_493},
	}},
	{codec: teltonika.Codec8, weight: 1193, elements: []element{
		{id: 67, group: two, high: 3936}, {id: 68, group: two, high: 140},
	}},
	{codec: teltonika.Codec8, weight: 1048, event: 240, priority: 1, elements: []element{
		{id: 1, group: one}, {id: 2, group: one, high: 1}, {id: 3, group: one}, {id: 4, group: one},
		{id: 22, group: one, high: 5},
		{id: 71, group: one, high: 3}, {id: 240, group: one, from: fromMotion}, {id: 21, group: one, high: 4},
		{id: 200, group: one},
		{id: 239, group: one, from: fromIgnition}, {id: 67, group: two, low: 9847, high: 10_289},
		{id: 68, group: two, high: 57},
		{id: 181, group: two, high: 47}, {id: 182, group: two, high: 39}, {id: 66, group: two, low: 11_736, high: 12_196},
		{id: 24, group: two, from: fromSpeed},
	}},
	{codec: teltonika.Codec8E, weight: 147, elements: []element{
		{id: 80, group: one, high: 1}, {id: 21, group: one, low: 2, high: 5}, {id: 200, group: one},
		{id: 69, group: one, low: 1, high: 2},
		{id: 181, group: two, high: 19}, {id: 182, group: two, high: 16}, {id: 24, group: two, from: fromSpeed},
		{id: 205, group: two, low: 4637, high: 61_675}, {id: 206, group: two, low: 14_633, high: 14_633},
		{id: 13, group: two},
		{id: 17, group: two, high: 65_535}, {id: 18, group: two, high: 65_535},
		{id: 19, group: two, low: 64_500, high: 65_454},
		{id: 241, group: four, low: 26_201, high: 26_201},
		{id: 11, group: eight, low: 89_000_000_000_000_000, from: fromDevice},
		{id: 14, group: eight, low: 40_000_000_000_000_000, from: fromDevice},
	}, variable: []variableElement{{id: 331, content: empty}}},
	{codec: teltonika.Codec8E, weight: 118, elements: []element{
		{id: 21, group: one, low: 3, high: 5}, {id: 206, group: two, low: 13_140, high: 13_140},
	}},
	{codec: teltonika.Codec8E, weight: 48, event: 239, priority: 1, elements: []element{
		{id: 239, group: one, from: fromIgnition}, {id: 240, group: one, from: fromMotion},
		{id: 21, group: one, low: 4, high: 5},
		{id: 200, group: one}, {id: 69, group: one, low: 1, high: 2}, {id: 1, group: one}, {id: 179, group: one},
		{id: 2, group: one},
		{id: 3, group: one}, {id: 180, group: one}, {id: 113, group: one, low: 98, high: 100},
		{id: 263, group: one, low: 1, high: 1},
		{id: 380, group: one}, {id: 66, group: two, low: 12_297, high: 12_320}, {id: 67, group: two, low: 4131, high: 4156},
		{id: 9, group: two, low: 170, high: 174}, {id: 17, group: two, low: 64_506, high: 64_537},
		{id: 18, group: two, low: 141, high: 165}, {id: 19, group: two, low: 64_554, high: 64_577},
		{id: 6, group: two, low: 170, high: 174}, {id: 241, group: four, low: 310_410, high: 310_410},
		{id: 16, group: four, from: fromOdometer},
	}, variable: []variableElement{{id: 256, content: vin}}},
	{codec: teltonika.Codec8E, weight: 42, event: 240, priority: 1, elements: []element{
		{id: 239, group: one, from: fromIgnition}, {id: 240, group: one, from: fromMotion},
		{id: 21, group: one, low: 5, high: 5},
		{id: 200, group: one}, {id: 69, group: one, low: 1, high: 2}, {id: 1, group: one}, {id: 179, group: one},
		{id: 2, group: one},
		{id: 3, group: one}, {id: 180, group: one}, {id: 113, group: one, low: 100, high: 100},
		{id: 263, group: one, low: 1, high: 1},
		{id: 380, group: one}, {id: 250, group: one}, {id: 181, group: two, high: 70}, {id: 182, group: two, high: 70},
		{id: 66, group: two, low: 12_297, high: 12_320}, {id: 24, group: two, from: fromSpeed},
		{id: 67, group: two, low: 4131, high: 4156},
		{id: 9, group: two, low: 172, high: 172}, {id: 17, group: two, low: 64_506, high: 64_537},
		{id: 18, group: two, low: 141, high: 165}, {id: 19, group: two, low: 64_554, high: 64_577},
		{id: 6, group: two, low: 172, high: 172},
		{id: 15, group: two}, {id: 241, group: four, low: 310_410, high: 310_410}, {id: 199, group: four},
		{id: 16, group: four, from: fromOdometer},
	}},
	{codec: teltonika.Codec8E, weight: 92, aside: true, variable: []variableElement{{id: 331, content: empty}}},
	{codec: teltonika.Codec8E, weight: 22, aside: true, event: 385,
		variable: []variableElement{{id: 385, content: beacons, count: 1}}},
	{codec: teltonika.Codec8E, weight: 21, aside: true, event: 385,
		variable: []variableElement{{id: 385, content: beacons, count: 2}}},
	{codec: teltonika.Codec8E, weight: 6, aside: true, event: 385,
		variable: []variableElement{{id: 385, content: beacons}}},
	// Codec 16 carries the ids above 255 of professional devices; this is such a device's periodic record.
	{codec: teltonika.Codec16, weight: 1, event: 240, priority: 1, elements: []element{
		{id: 1, group: one, high: 1}, {id: 3, group: one}, {id: 2, group: one}, {id: 4, group: one},
		{id: 239, group: one, from: fromIgnition},
		{id: 240, group: one, from: fromMotion}, {id: 263, group: one, low: 1, high: 1},
		{id: 24, group: two, from: fromSpeed},
		{id: 66, group: two, low: 24_000, high: 28_200}, {id: 199, group: four, from: fromOdometer},
	}},
}

package simulate

import (
	"math"
	"math/rand/v2"
)

// position is what a device records at one moment: all that its AVL record is made from.
type position struct {
	timestamp  int64 // ms since 1970 UTC
	longitude  int32 // 1e-7 degree
	latitude   int32
	altitude   int16  // m
	angle      uint16 // degrees
	speed      uint16 // km/h
	satellites uint8  // 0 without a fix
	ignition   bool
	odometer   uint32 // m
	noise      uint64 // everything else in the record follows from it
}

// vehicle moves along and records where it is. It computes in integers, so that a seed gives the same
// journey on every machine.
type vehicle struct {
	at       position
	clock    int64  // ms since 1970 UTC: when the latest record was due
	target   uint16 // speed that it changes to, km/h
	parked   uint16 // records that it stays parked for
	noFix    uint16 // records that the satellites stay out of sight for
	step     uint64 // mean time between two records, ms
	distance uint32 // cm that the odometer has not counted yet
}

// Where journeys begin, and the latitudes that turn a vehicle round, 1e-7 degree.
const (
	south, north = 36_0000000, 60_0000000
	west, east   = -9_0000000, 30_0000000
)

// newVehicle places a vehicle. Its first record is due step milliseconds after start.
func newVehicle(rng *rand.PCG, start int64, step int64) vehicle {
	v := vehicle{clock: start, step: uint64(max(1, step))}
	v.at = position{
		timestamp:  start,
		latitude:   south + int32(below(rng.Uint64(), north-south)),
		longitude:  west + int32(below(rng.Uint64(), east-west)),
		altitude:   int16(below(rng.Uint64(), 400)),
		angle:      uint16(below(rng.Uint64(), 360)),
		satellites: uint8(5 + below(rng.Uint64(), 16)),
		ignition:   true,
		odometer:   uint32(below(rng.Uint64(), 300_000_000)),
	}
	v.target = speeds[below(rng.Uint64(), uint64(len(speeds)))]
	v.at.speed = v.target
	return v
}

// record lets about step milliseconds pass, but not beyond latest, in ms since 1970, and returns where the vehicle is
// then. Timestamps only grow; see room.
func (v *vehicle) record(rng *rand.PCG, latest int64) position {
	chance := rng.Uint64()
	v.at.noise = rng.Uint64()
	elapsed := v.tick(chance, latest)
	switch {
	case v.noFix > 0:
		v.noFix--
		return v.lost()
	case v.parked > 0:
		v.parked--
		if v.parked == 0 {
			v.at.ignition, v.target = true, 50
		}
	default:
		v.drive(chance>>16, elapsed)
		if chance>>40&0xFF == 0 {
			v.noFix = uint16(4 + chance>>48&15)
		}
	}
	switch v.at.noise >> 60 {
	case 0:
		v.at.satellites = min(v.at.satellites+1, 20)
	case 1:
		v.at.satellites = max(v.at.satellites-1, 5)
	}
	return v.at
}

// tick advances the clock by the step, and returns the milliseconds between this record and the one before. A record
// is stamped up to half a step before it is due, and never behind: no clock runs ahead. Half of the stamps of slow
// recorders are whole seconds, as on real devices.
func (v *vehicle) tick(chance uint64, latest int64) int64 {
	before := v.at.timestamp
	v.clock = min(v.clock+int64(v.step), latest)
	stamp := v.clock - int64(below(chance<<32, v.step/2+1))
	if v.step >= 2000 && chance&1 == 0 {
		stamp -= stamp % 1000
	}
	v.at.timestamp = max(stamp, before+1)
	return v.at.timestamp - before
}

// room is how many records may be stamped up to latest, at one a millisecond.
func (v *vehicle) room(latest int64) int64 { return max(0, latest-v.at.timestamp) }

// begin sets the clock to where the first record is a step away.
func (v *vehicle) begin(clock int64) { v.clock, v.at.timestamp = clock, clock }

// skip lets the time of n records pass.
func (v *vehicle) skip(n int) { v.clock += int64(v.step) * int64(n) }

// lost is the record of a device without a fix: it repeats the last place.
func (v *vehicle) lost() position {
	p := v.at
	p.satellites, p.speed, p.angle = 0, 0, 0
	return p
}

// speeds that vehicles change to, km/h.
var speeds = [8]uint16{0, 0, 30, 30, 50, 50, 90, 110}

func (v *vehicle) drive(chance uint64, elapsed int64) {
	p := &v.at
	if chance&31 == 0 {
		v.target = speeds[chance>>5&7]
	}
	switch {
	case p.speed < v.target:
		p.speed = min(v.target, p.speed+8)
	case p.speed > v.target:
		p.speed -= min(p.speed-v.target, 12)
	}
	if p.speed == 0 {
		if v.target == 0 && chance>>8&15 == 0 {
			p.ignition, v.parked = false, uint16(10+chance>>12&63)
		}
		return
	}
	p.angle = uint16(uint64(p.angle)+360+chance>>18&15-7) % 360
	p.altitude = min(max(p.altitude+int16(chance>>22&3)-1, -50), 2000)
	v.move(int64(p.speed) * elapsed / 36)
}

// unit is 1e-7 degree of latitude in 1/32768 cm: 1.1132 cm.
const unit = 36477

// move goes so many centimetres ahead.
func (v *vehicle) move(centimetres int64) {
	p := &v.at
	p.latitude += int32(centimetres * int64(sines[(p.angle+90)%360]) / unit)
	cosine := int64(sines[90-(p.latitude+5e6)/1e7]) // a degree of longitude is that much shorter
	longitude := int64(p.longitude) + centimetres*int64(sines[p.angle])*sineOne/(unit*cosine)
	if longitude >= 180_0000000 || longitude < -180_0000000 {
		longitude = -int64(p.longitude)
	}
	p.longitude = int32(longitude)
	if p.latitude > north || p.latitude < south {
		p.latitude = min(max(p.latitude, south), north)
		p.angle = (p.angle + 180) % 360
	}
	centimetres += int64(v.distance)
	p.odometer += uint32(centimetres / 100)
	v.distance = uint32(centimetres % 100)
}

// sineOne is what 1 is in sines.
const sineOne = 1 << 15

// sines holds the sine of every degree.
var sines = func() (t [360]int32) {
	for degree := range t {
		t[degree] = int32(math.Round(sineOne * math.Sin(float64(degree)*math.Pi/180)))
	}
	return t
}()

// below maps a random number to 0 to n-1, n up to 2^32.
func below(random, n uint64) uint64 { return random >> 32 * n >> 32 }

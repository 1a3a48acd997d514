package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestProfiles compares the records of every profile, as decoded, with the table.
func TestProfiles(t *testing.T) {
	rng := rand.NewPCG(1, 2)
	for i := range profiles {
		p := &profiles[i]
		tmpl, err := newTemplate(p)
		if err != nil {
			t.Fatal(err)
		}
		v := newVehicle(rng, start.UnixMilli(), 1000)
		m := model{codec: p.codec, own: tmpl, aside: new(choice)}
		var f frame
		events := 0
		for range 200 {
			at := v.record(rng, math.MaxInt64)
			f.build(&m, newIdentity(4711), []position{at}, false, false)
			var data teltonika.AVLData
			if err := data.Decode(teltonika.Frame(f.bytes).Body()); err != nil {
				t.Fatalf("profile %d: %v", i, err)
			}
			r := &data.Records[0]
			checkFixed(t, r, &at)
			checkElements(t, p, r, &at)
			if r.EventID != 0 {
				events++
				if r.EventID != p.event || r.Priority != p.priority {
					t.Fatalf("profile %d: event %d of priority %d, expected %d of %d", i, r.EventID, r.Priority, p.event, p.priority)
				}
			}
		}
		if p.event != 0 && events == 0 || p.event == 0 && events > 0 {
			t.Errorf("profile %d: %d of 200 records are events", i, events)
		}
	}
}

func checkFixed(t *testing.T, r *teltonika.Record, at *position) {
	t.Helper()
	got := position{
		timestamp: int64(r.Timestamp), longitude: r.Longitude, latitude: r.Latitude, altitude: r.Altitude,
		angle: r.Angle, speed: r.Speed, satellites: r.Satellites, ignition: at.ignition, odometer: at.odometer,
		noise: at.noise,
	}
	if got != *at {
		t.Fatalf("record says %+v, position was %+v", got, *at)
	}
}

func checkElements(t *testing.T, p *profile, r *teltonika.Record, at *position) {
	t.Helper()
	if len(r.Elements) != len(p.elements)+len(p.variable) || int(r.Total) != len(r.Elements) {
		t.Fatalf("%d elements, expected %d", len(r.Elements), len(p.elements)+len(p.variable))
	}
	find := func(id uint16) teltonika.Element {
		i := slices.IndexFunc(r.Elements, func(e teltonika.Element) bool { return e.ID == id })
		if i < 0 {
			t.Fatalf("element %d is missing", id)
		}
		return r.Elements[i]
	}
	if r.EventID != 0 {
		find(r.EventID)
	}
	for _, e := range p.elements {
		got := find(e.id)
		expected := map[source]uint64{
			fromIgnition: number(at.ignition), fromMotion: number(at.speed > 0), fromSpeed: uint64(at.speed),
			fromOdometer: uint64(at.odometer), fromDevice: e.low + 4711,
		}
		value, exact := expected[e.from]
		if got.Group != e.group || exact && got.Uint() != value ||
			!exact && (got.Uint() < e.low || got.Uint() > max(e.low, e.high)) {
			t.Fatalf("element %d is %d of group %d, expected %+v", e.id, got.Uint(), got.Group, e)
		}
	}
	for _, v := range p.variable {
		value := string(r.Bytes(find(v.id)))
		switch {
		case v.content == empty && value != "",
			v.content == vin && value != "WSX00TRK700004711",
			v.content == beacons && len(value) != 1+22*v.count:
			t.Fatalf("element %d is %q", v.id, value)
		}
	}
}

// TestNoiseReachesAllValues makes sure that ranges are used up to both ends.
func TestNoiseReachesAllValues(t *testing.T) {
	seen := make(map[uint64]bool)
	rng := rand.NewPCG(1, 1)
	for range 1000 {
		seen[below(rng.Uint64(), 5)] = true
	}
	if len(seen) != 5 || !seen[0] || !seen[4] {
		t.Errorf("below(5) gave %v", seen)
	}
}

func TestVehicle(t *testing.T) {
	for _, step := range []int64{1, 10, 1000, 30_000} {
		rng := rand.NewPCG(3, uint64(step))
		v := newVehicle(rng, start.UnixMilli(), step)
		last := v.at
		moving, parked, lost, whole := 0, 0, 0, 0
		const records = 50_000
		for range records {
			p := v.record(rng, math.MaxInt64)
			elapsed := p.timestamp - last.timestamp
			if elapsed < 1 || elapsed > 2*step+1000 {
				t.Fatalf("step %d ms: %d ms passed", step, elapsed)
			}
			if p.latitude < south || p.latitude > north || p.longitude < -180_0000000 || p.longitude >= 180_0000000 ||
				p.angle >= 360 {
				t.Fatalf("step %d ms: not on the road: %+v", step, p)
			}
			if metres := distance(&last, &p); metres > 1.03*float64(p.speed)/3.6*float64(elapsed)/1000+0.03 {
				t.Fatalf("step %d ms: %.2f m in %d ms at %d km/h", step, metres, elapsed, p.speed)
			}
			switch {
			case p.satellites == 0:
				lost++
				if p.speed != 0 || p.latitude != last.latitude || p.longitude != last.longitude {
					t.Fatalf("record without a fix moves: %+v after %+v", p, last)
				}
			case !p.ignition:
				parked++
				if p.speed != 0 {
					t.Fatalf("parked at %d km/h", p.speed)
				}
			case p.speed > 0:
				moving++
			}
			if p.timestamp%1000 == 0 {
				whole++
			}
			last = p
		}
		if moving < records/4 || parked < records/50 || lost < records/100 {
			t.Errorf("step %d ms: %d records moving, %d parked, %d without a fix", step, moving, parked, lost)
		}
		if step >= 2000 && whole < records/3 {
			t.Errorf("step %d ms: %d stamps are whole seconds, expected half", step, whole)
		}
		if took := last.timestamp - start.UnixMilli(); !within(float64(took), float64(records*step), 0.01) {
			t.Errorf("step %d ms: %d records took %v", step, records, time.Duration(took)*time.Millisecond)
		}
	}
}

// distance in metres between two near places. A vehicle that is turned back at the border may have been cut short.
func distance(a, b *position) float64 {
	const metres = 1.1132e-2 // of 1e-7 degree of latitude
	y := float64(b.latitude - a.latitude)
	x := float64(b.longitude-a.longitude) * math.Cos(float64(a.latitude)*1e-7*math.Pi/180)
	return math.Hypot(x, y) * metres
}

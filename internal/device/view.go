package device

import "time"

// Presence is what is known here of the device of that IMEI, and false if it was never seen. What only datagrams have
// said stands beside what is known of its connections, or alone if there is no more.
func (m *Memory) Presence(imei string) (Presence, bool) {
	if m == nil {
		return Presence{}, false
	}
	p, known := m.devices.view(imei)
	claimed, byDatagrams := m.claimed.view(imei + claimedSuffix)
	return m.combine(imei, p, known, claimed, byDatagrams)
}

// combine puts together what is known of a device by its connections, by datagrams, and by logins that were rejected.
func (m *Memory) combine(imei string, p Presence, known bool, claimed Presence, byDatagrams bool) (Presence, bool) {
	switch {
	case known && byDatagrams:
		p.Datagrams = &claimed
	case byDatagrams:
		p = claimed
	}
	rejected := m.rejections.addTo(&p, imei)
	return p, known || byDatagrams || rejected
}

// view is the presence of the key's device, and false if it was never seen.
func (t *table) view(key string) (Presence, bool) {
	d := t.find(key)
	if d == nil {
		return Presence{}, false
	}
	p, _ := d.view(time.Now())
	return p, !p.FirstSeen.IsZero()
}

// view is a copy of what is known, and whether the device is connected here.
func (d *Device) view(now time.Time) (p Presence, here bool) {
	d.mu.Lock()
	firmware := d.saidLocked().Firmware
	d.mu.Unlock()
	return d.viewWith(firmware, now)
}

func (d *Device) viewWith(firmware string, now time.Time) (p Presence, here bool) {
	d.track.mu.Lock()
	d.expire(now)
	p, here = d.track.presence.presence(), d.track.open
	d.track.mu.Unlock()
	p.IMEI, p.Claimed = d.imei(), d.claimed()
	r := d.meaning.Current()
	if families := r.Candidates(); len(families) == 1 {
		p.Family = families[0].String()
	}
	p.Model, p.Firmware = r.Model(), firmware
	return p, here
}

package device

import (
	"container/list"
	"maps"
	"slices"
	"sync"
)

// maxRejections is how many devices are remembered whose logins were rejected: those rejected last.
const maxRejections = 4096

// rejections are the logins that were rejected. Anybody can log in under any name, so they stand apart from the devices
// and take no room from them, and each instance remembers its own.
type rejections struct {
	mu     sync.Mutex // taken by nobody but logins that are rejected, and those who ask
	byIMEI map[string]*list.Element
	order  list.List // of *rejection, the last one in front
}

type rejection struct {
	imei  string
	first Time
	count uint64
	login Login // the last one
}

// Rejected notes a login that was rejected.
func (m *Memory) Rejected(imei string, l Login) {
	if m == nil {
		return
	}
	l.Answer = LoginRejected
	r := &m.rejections
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byIMEI[imei]
	if e == nil {
		if r.order.Len() == maxRejections {
			delete(r.byIMEI, r.order.Remove(r.order.Back()).(*rejection).imei)
		}
		e = r.order.PushFront(&rejection{imei: imei, first: l.At})
		r.byIMEI[imei] = e
	}
	r.order.MoveToFront(e)
	last := e.Value.(*rejection)
	last.login = l
	last.count++
}

// imeis are whose they are.
func (r *rejections) imeis() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.byIMEI))
}

// addTo adds what is known of the device's rejected logins, if anything is.
func (r *rejections) addTo(p *Presence, imei string) (known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byIMEI[imei]
	if e == nil {
		return false
	}
	last := e.Value.(*rejection)
	p.IMEI, p.Rejected = imei, last.count
	if p.FirstSeen.IsZero() {
		p.FirstSeen, p.LastSeen = last.first, last.login.At
	}
	if last.login.At.After(p.Login.At.Time) {
		p.Login = last.login
	}
	return true
}

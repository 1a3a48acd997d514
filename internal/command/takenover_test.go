package command_test

import "testing"

// TestTakenOverElsewhere has the store say that the device has a newer connection at another instance than the first
// one here, when it has come back here since, and then than the second one.
func TestTakenOverElsewhere(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		first := d.numberOf(t, imei)
		dev.connect()
		second := d.numberOf(t, imei)
		d.TakenOver(imei, first)
		if !d.isConnected(imei) {
			t.Fatal("the newer connection was closed for the older one")
		}
		d.TakenOver("356307042441014", second)
		d.TakenOver(imei, second)
		if d.isConnected(imei) {
			t.Error("the connection is there, though the device has a newer one elsewhere")
		}
		d.TakenOver(imei, second) // said twice
	})
}

// isConnected reports whether the device is connected here.
func (d *dispatcher) isConnected(imei string) bool {
	for c := range d.Connections() {
		if c.IMEI == imei {
			return true
		}
	}
	return false
}

// numberOf is that of the device's connection.
func (d *dispatcher) numberOf(t *testing.T, imei string) uint64 {
	t.Helper()
	for c := range d.Connections() {
		if c.IMEI == imei {
			return c.Number
		}
	}
	t.Fatal("not connected")
	return 0
}

package meaning_test

import (
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// The elements of a record, read as those of a device of which nothing is known but what it sends.
func Example() {
	elements := []meaning.Element{
		{ID: 66, Width: meaning.Width2, Number: 12044},
		{ID: 113, Width: meaning.Width4, Number: 900},
		{ID: 80, Width: meaning.Width4, Number: 12},
		{ID: 25, Width: meaning.Width2, Number: 871},
	}
	device := meaning.NewDevice(meaning.Embedded(), "356307042441013")
	layout := meaning.NewLayout
	for _, el := range elements {
		layout = layout.Add(el.ID, el.Width, el.Number)
	}
	reader := device.Current()
	if !device.Knows(layout) {
		reader = device.Learn(layout, elements)
	}
	var signals, faults []byte
	for _, el := range elements {
		signals = reader.AppendNumber(signals, &faults, el.ID, el.Width, el.Number)
	}
	fmt.Printf("%s\n%s\n%s\n", signals, faults, reader.AppendDevice(nil))
	// Output:
	// ,"external.powersource.voltage":12.044,"fms.service.distance":900,"can.engine.temperature":87.1
	//
	// ,"device":{"family":"fmx6","by":"elements"},"dict":"2026.11"
}

func ExampleReader_Decode() {
	identity, _ := meaning.ParseIdentity("FMB640")
	reader := meaning.Resolve(meaning.Embedded(), "356307042441013", identity, &meaning.Evidence{})
	for _, raw := range [][]byte{{0x01, 0x17}, {0x0b, 0xb8}} {
		value, _ := reader.Decode(72, meaning.Width2, raw)
		fmt.Printf("%s %q %q %q\n", value.Name, value.Text(), value.Unit, value.Fault)
	}
	_, why := reader.Decode(64999, meaning.Width1, []byte{1})
	fmt.Println(why)
	// Output:
	// onewire.temperature.1 "27.9" "°C" ""
	// onewire.temperature.1 "" "°C" "not_connected"
	// unknown
}

// Package meaning says what the IO elements of Teltonika devices mean: name, value and unit, or nothing.
//
// The same id means different things on different families of devices, and the stream never says which device it is.
// So a value is given only if all families that the device may belong to agree on it ([Resolve]); what is not given
// stays as it was sent. An error code is a fault with a reason, never a value.
//
//	dictionary := meaning.Embedded()
//	device := meaning.NewDevice(dictionary, "356307042441013") // one for each device, kept
//	reader := device.Learn(layout, elements)                   // or device.Current() if it knows the layout
//	signals = reader.AppendNumber(signals, &faults, id, width, number)
//
// The package needs the standard library only and does no I/O: the dictionary is embedded.
package meaning

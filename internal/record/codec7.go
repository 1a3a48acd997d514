package record

import "git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

// A record of Codec 7 may lack any part of its position, and has no event id. What it lacks is absent from the
// document. What it has of the mobile network is no IO element, and no id stands for it: 21, GSM signal elsewhere, is
// another element here. So it has names, and stands in front of the elements: __lac, __cid, __signal and __operator.

// position are the fields that every record of the other codecs has.
const position = teltonika.FieldCoordinates | teltonika.FieldAltitude | teltonika.FieldAngle | teltonika.FieldSpeed |
	teltonika.FieldSatellites

// appendPartOfPosition appends what the record has of its position, after a timestamp without its closing quote.
func appendPartOfPosition(dst []byte, r *teltonika.Record) []byte {
	dst = append(dst, '"')
	if r.Has(teltonika.FieldCoordinates) {
		dst = appendDegrees(append(dst, `,"latitude":`...), r.Latitude)
		dst = appendDegrees(append(dst, `,"longitude":`...), r.Longitude)
	}
	if r.Has(teltonika.FieldAltitude) {
		dst = appendInt(append(dst, `,"altitude":`...), int64(r.Altitude))
	}
	if r.Has(teltonika.FieldAngle) {
		dst = appendUint(append(dst, `,"angle":`...), uint64(r.Angle))
	}
	if r.Has(teltonika.FieldSpeed) {
		dst = appendUint(append(dst, `,"speed":`...), uint64(r.Speed))
	}
	if r.Has(teltonika.FieldSatellites) {
		dst = appendByte(append(dst, `,"satellites":`...), r.Satellites)
	}
	return appendByte(append(dst, `,"priority":`...), r.Priority)
}

// appendNetwork appends a member for each thing that the record says about the mobile network, with a comma before it.
func appendNetwork(dst []byte, r *teltonika.Record) []byte {
	if r.Has(teltonika.FieldCell) {
		dst = appendUint(append(dst, `,"__lac":`...), uint64(r.LAC))
		dst = appendUint(append(dst, `,"__cid":`...), uint64(r.CID))
	}
	if r.Has(teltonika.FieldSignal) {
		dst = appendByte(append(dst, `,"__signal":`...), r.Signal)
	}
	if r.Has(teltonika.FieldOperator) {
		dst = appendUint(append(dst, `,"__operator":`...), uint64(r.Operator))
	}
	return dst
}

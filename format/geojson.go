package format

import "encoding/json"

// GeoJSON is a Feature of RFC 7946: a Point of longitude, latitude and, where the record has it, altitude in m; null
// where the record has no place. properties are all other members of the document, unchanged; fix among them says
// whether the place is the last known one. id is the record's.
func GeoJSON(document []byte) ([]byte, error) {
	r, err := parse(document)
	if err != nil {
		return nil, err
	}
	var all members
	if err := json.Unmarshal(document, &all); err != nil {
		return nil, err
	}
	var feature, properties object
	for _, m := range all {
		switch m.key {
		case "latitude", "longitude", "id":
		case "altitude":
			if !r.hasPlace() {
				properties.add(m.key, m.value)
			}
		default:
			properties.add(m.key, m.value)
		}
	}
	feature.add("type", quoted("Feature"))
	feature.add("id", r.ID)
	feature.add("geometry", r.geometry())
	feature.add("properties", properties.end())
	return feature.end(), nil
}

func (r *record) geometry() json.RawMessage {
	if !r.hasPlace() {
		return json.RawMessage("null")
	}
	coordinates := append([]byte{'['}, r.Longitude...)
	coordinates = append(append(coordinates, ','), r.Latitude...)
	if r.Altitude != nil {
		coordinates = append(append(coordinates, ','), r.Altitude...)
	}
	var point object
	point.add("type", quoted("Point"))
	point.add("coordinates", append(coordinates, ']'))
	return point.end()
}

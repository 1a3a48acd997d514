package admin

import (
	"bufio"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// listDevices writes the devices one by one, so that a fleet's list is never in memory as a text.
func (s *Server) listDevices(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "imei")
	if err != nil {
		return err
	}
	done, err := s.mayList()
	if err != nil {
		return err
	}
	defer done()
	var devices []command.Device
	if q.Has("imei") {
		if d, ok := s.Devices.Device(q.Get("imei")); ok {
			devices = append(devices, d)
		}
	} else {
		devices = slices.SortedFunc(s.Devices.Devices(), func(a, b command.Device) int { return cmp.Compare(a.IMEI, b.IMEI) })
	}
	setJSON(w.Header())
	out := bufio.NewWriterSize(w, 32<<10)
	writeDevices(out, devices)
	out.Flush() // its error is that nobody reads any more
	return nil
}

// writeDevices writes one device a line. out keeps its first error.
func writeDevices(out *bufio.Writer, devices []command.Device) {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	out.WriteString(`{"devices":[`)
	for i := range devices {
		if i > 0 {
			out.WriteByte(',')
		}
		if encoder.Encode(deviceOf(&devices[i])) != nil {
			return
		}
	}
	out.WriteString("]}\n")
}

func (s *Server) showDevice(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	d, ok := s.Devices.Device(r.PathValue("imei"))
	if !ok {
		return problem(http.StatusNotFound, "the device is not connected to this instance")
	}
	writeJSON(w, http.StatusOK, deviceOf(&d))
	return nil
}

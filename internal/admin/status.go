package admin

import "net/http"

// status says how the service is.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.Overview.Status())
	return nil
}

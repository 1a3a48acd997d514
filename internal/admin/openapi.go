package admin

import (
	"net/http"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api"
)

// openAPIPath is where the API describes itself.
const openAPIPath = "/openapi.json"

// showOpenAPI writes the document, which is the same for everybody.
func showOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	setJSON(w.Header())
	w.Write(api.OpenAPI)
	return nil
}

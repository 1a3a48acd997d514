package admin

import (
	"context"
	"net/http"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// CommandList is a page of commands, the newest first.
type CommandList struct {
	Commands []*Entry `json:"commands"`
	Next     string   `json:"next,omitempty"` // the cursor of the next page, if there is one
}

// pageSize is how many commands a list has if it is not said.
const pageSize = 50

// listCommands returns a page of the commands of the path's device, or of all.
func (s *Server) listCommands(w http.ResponseWriter, r *http.Request) error {
	q, err := commandQuery(r)
	if err != nil {
		return err
	}
	done, err := s.mayList()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	page, err := s.Commands.List(ctx, q)
	if err != nil {
		return s.storeFailed("list", err)
	}
	list := CommandList{Commands: make([]*Entry, len(page.Entries))}
	for i := range page.Entries {
		list.Commands[i] = entryOf(&page.Entries[i])
	}
	if page.Next != 0 {
		list.Next = strconv.FormatInt(page.Next, 10)
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// commandQuery reads ?state=, ?cursor= and ?limit=.
func commandQuery(r *http.Request) (q command.Query, err error) {
	given, err := query(r, "state", "cursor", "limit")
	if err != nil {
		return q, err
	}
	wrong := make(map[string]string)
	q = command.Query{IMEI: r.PathValue("imei"), Limit: pageSize}
	if q.IMEI != "" && !teltonika.ValidIdentifier(q.IMEI) {
		wrong["imei"] = command.InvalidIMEI
	}
	switch state := given.Get("state"); state {
	case "", "all":
	case "open":
		q.Open = true
	default:
		wrong["state"] = "must be open or all"
	}
	if given.Has("cursor") {
		if q.Before, err = strconv.ParseInt(given.Get("cursor"), 10, 64); err != nil || q.Before <= 0 {
			wrong["cursor"] = "must be the next of a page"
		}
	}
	if given.Has("limit") {
		if q.Limit, err = strconv.Atoi(given.Get("limit")); err != nil || q.Limit < 1 || q.Limit > command.MaxPage {
			wrong["limit"] = "must be 1 to " + strconv.Itoa(command.MaxPage)
		}
	}
	return q, wrongFields(wrong)
}

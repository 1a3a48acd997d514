package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api"
	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// TestAnswersAreAsDocumented asks the whole service.
func TestAnswersAreAsDocumented(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "RECORD_RAW": "true"})
	const imei = "356307042441013"
	s.connect(imei)
	s.connect(imei[1:]).Send([]byte("not a frame"))
	for path, holds := range map[string]string{
		"/v1/devices/" + imei + "/records":   `"raw":`,
		"/v1/devices?state=all&verdict=true": `"verdict":{`, "/v1/devices/" + imei: `"last_record":{`,
		"/v1/devices/1": "never seen", "/v1/devices/" + imei + "/commands": "[]", "/v1/commands": "[]",
		"/v1/problems": `"total":`, "/v1/strangers": "[]", "/v1/deadletters": "[]", "/v1/deadletters/1": "no such",
		"/v1/status": `"records":{`, "/openapi.json": "", "/": "<title>", "/page/style.css": "{",
		"/v1/nothing": "no such path",
	} {
		if body := s.documented(path); !strings.Contains(string(body), holds) {
			t.Errorf("%s: no %s in %.300s", path, holds, body)
		} else if path == "/openapi.json" && !bytes.Equal(body, api.OpenAPI) {
			t.Error("another document is served")
		}
	}
	if _, links := s.get("/"); !strings.Contains(links, s.admin+"/openapi.json") {
		t.Errorf("no link to the document in %s", links)
	}
}

// documented is what the API answers, which the document has to know.
func (s *server) documented(path string) []byte {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	apitest.Strict().CheckAnswer(s.t, request, answer, body)
	return body
}

// TestMessageLinesAreAsDocumented: those of tail --messages.
func TestMessageLinesAreAsDocumented(t *testing.T) {
	m := engine.Message{DeviceID: "356307042441013", Codec: "13", Type: 6, Sent: time.Unix(1_800_000_000, 0),
		Received: time.UnixMilli(1_800_000_001_234), Payload: []byte{1, 2, 255}}
	const schema = "message.schema.json#/$defs/tail"
	apitest.Strict().Check(t, schema, messageLine(m))
	m.Codec, m.Sent = "12", time.Time{}
	apitest.Strict().Check(t, schema, messageLine(m))
}

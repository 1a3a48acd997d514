package apitest

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

const openAPI = "openapi.json"

// methods are the keys of a path item that are operations.
var methods = []string{"get", "post", "delete", "put", "patch", "head", "options"}

// Operation is something that the OpenAPI document says can be done.
type Operation struct {
	Method, Path string
	Object       map[string]any
}

// Operations are all of them.
func (d *Documents) Operations() (all []Operation) {
	for path, item := range d.Document(openAPI)["paths"].(map[string]any) {
		for _, method := range methods {
			if object, ok := item.(map[string]any)[method].(map[string]any); ok {
				all = append(all, Operation{strings.ToUpper(method), path, object})
			}
		}
	}
	return all
}

// ref is where the operation stands.
func (o *Operation) ref() string {
	return openAPI + "#/paths/" + pointer(o.Path) + "/" + strings.ToLower(o.Method)
}

// Statuses are those that the operation may answer with.
func (o *Operation) Statuses() (all []int) {
	for status := range o.Object["responses"].(map[string]any) {
		n, _ := strconv.Atoi(status)
		all = append(all, n)
	}
	return all
}

// Parameters are those of the query, by name.
func (d *Documents) Parameters(o *Operation) map[string]map[string]any {
	found := map[string]map[string]any{}
	listed, _ := o.Object["parameters"].([]any)
	for _, p := range listed {
		parameter := p.(map[string]any)
		if to, ok := parameter["$ref"].(string); ok {
			parameter = d.At(openAPI + to).(map[string]any)
		}
		if parameter["in"] == "query" {
			found[parameter["name"].(string)] = parameter
		}
	}
	return found
}

// operation is what a request asks for, by its escaped path. known says that there is such a path.
func (d *Documents) operation(method, path string) (found *Operation, known bool) {
	for _, o := range d.Operations() {
		if matches(o.Path, path) {
			known = true
			if o.Method == method {
				found = &o
			}
		}
	}
	return found, known
}

// matches reports whether a path is one of the template.
func matches(template, path string) bool {
	if rest, ok := strings.CutSuffix(template, "{file}"); ok {
		return strings.HasPrefix(path, rest) && path != rest
	}
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && (!strings.HasPrefix(want[i], "{") || have[i] == "") {
			return false
		}
	}
	return true
}

// CheckAnswer fails the test if the answer to a request is none that the OpenAPI document says.
func (d *Documents) CheckAnswer(t testing.TB, request *http.Request, answer *http.Response, body []byte) {
	t.Helper()
	what := request.Method + " " + request.URL.RequestURI() + ": " + answer.Status
	o, known := d.operation(request.Method, request.URL.EscapedPath())
	if o == nil {
		status := http.StatusNotFound
		if known {
			status = http.StatusMethodNotAllowed
		}
		denied := answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden ||
			answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusUnsupportedMediaType
		if answer.StatusCode != status && !denied {
			t.Errorf("%s: the document does not know the request", what)
		}
		return
	}
	if answer.StatusCode/100 == 2 {
		for name := range request.URL.Query() {
			if d.Parameters(o)[name] == nil && name != "" {
				t.Errorf("%s: the document has no parameter %s", what, name)
			}
		}
	}
	ref, response := d.response(o, answer.StatusCode)
	if response == nil {
		t.Errorf("%s: not a status of the document: %.200s", what, body)
		return
	}
	d.checkBody(t, what, ref, response, answer.Header, body)
}

// response is what the document says of an operation's answer with that status.
func (d *Documents) response(o *Operation, status int) (ref string, response map[string]any) {
	ref = o.ref() + "/responses/" + strconv.Itoa(status)
	response, _ = d.At(ref).(map[string]any)
	if to, ok := response["$ref"].(string); ok {
		ref = openAPI + to
		response, _ = d.At(ref).(map[string]any)
	}
	return ref, response
}

func (d *Documents) checkBody(
	t testing.TB, what, ref string, response map[string]any, header http.Header, body []byte,
) {
	t.Helper()
	content, _ := response["content"].(map[string]any)
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case len(content) == 0:
		if len(body) > 0 {
			t.Errorf("%s: a body where the document has none: %.200s", what, body)
		}
	case content[mediaType] == nil:
		t.Errorf("%s: the document does not know %q", what, mediaType)
	case mediaType == "application/json":
		if err := d.Validate(ref+"/content/"+pointer(mediaType)+"/schema", body); err != nil {
			t.Errorf("%s: %v\n%.2000s", what, err, body)
		}
	}
}

// CheckEvent fails the test if an event of GET /v1/tap is none that the document says.
func (d *Documents) CheckEvent(t testing.TB, name string, data []byte) {
	t.Helper()
	d.Check(t, openAPI+"#/paths/~1v1~1tap/get/responses/200/content/text~1event-stream/x-events/"+name, data)
}

package explain

import (
	"reflect"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
)

const decoded = "openapi.json#/components/schemas/Decoded"

// TestJSONIsDocumented: the objects of decode --json are those of the API's document.
func TestJSONIsDocumented(t *testing.T) {
	apitest.Strict().CheckType(t, decoded+"Data", reflect.TypeFor[dataObject]())
	apitest.Strict().CheckType(t, decoded+"Other", reflect.TypeFor[otherObject]())
}

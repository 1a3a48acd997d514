package enginetest

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
)

// normal is what two payloads have in common that the store must keep: all bytes, or what they mean as documents.
func (h Harness) normal(payload string) string {
	if !h.Documents {
		return payload
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(payload)))
	dec.UseNumber()
	var document any
	if err := dec.Decode(&document); err != nil {
		return payload
	}
	sorted, err := json.Marshal(document)
	if err != nil {
		return payload
	}
	return string(sorted)
}

var deviceOf = regexp.MustCompile(`"device_id": ?"([^"]*)"`)

// payloadDevice is the device in a payload.
func payloadDevice[T ~string | ~[]byte](payload T) string {
	return string(deviceOf.FindSubmatch([]byte(payload))[1])
}

// element is an IO element that holds the text: any bytes, or only what a document can hold.
func (h Harness) element(text string) string {
	if !h.Documents {
		return text
	}
	return `"x":` + strconv.Quote(string(bytes.ReplaceAll([]byte(strconv.QuoteToASCII(text)), []byte(`\`), nil)))
}

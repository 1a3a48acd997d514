// Package api is what the service shows to other programs, as documents that machines read: the schemas of records,
// messages and dead letters (JSON Schema 2020-12), where they are in each engine (AsyncAPI 3), the HTTP API
// (OpenAPI 3.1), and what check --json prints. docs/contracts.md says what each is for and what it promises. The
// documents are written by hand; tests hold what the service really shows to them, by package apitest.
package api

import "embed"

// Documents are all of them, by file name.
//
//go:embed *.json
var Documents embed.FS

// OpenAPI is the document of the HTTP API, which is whole in itself.
var OpenAPI = mustRead("openapi.json")

func mustRead(name string) []byte {
	b, err := Documents.ReadFile(name)
	if err != nil {
		panic(err) // it is in the binary
	}
	return b
}

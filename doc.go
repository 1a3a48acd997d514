// Package tcpingestion is the root of the module; it holds nothing but the test that guards the architecture. The
// program is in cmd/tcp-ingestion, the protocol library in teltonika.
package tcpingestion

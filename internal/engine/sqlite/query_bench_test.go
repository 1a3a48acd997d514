package sqlite

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// BenchmarkQueries asks a file of 200,000 records of a thousand devices, as another client does, and beside each query
// the same one that may not use the index by device. ratio is how much longer that takes.
func BenchmarkQueries(b *testing.B) {
	e := start(b)
	reporting := fleet{frame: 10}
	for range 50 {
		if err := e.Store(b.Context(), 0, reporting.next(4000)); err != nil {
			b.Fatal(err)
		}
	}
	const ofOne = " FROM records %s WHERE device_id = '356307040000619'"
	for name, query := range map[string]string{
		"latest of a device": "SELECT payload" + ofOne + " ORDER BY ts DESC LIMIT 1",
		"track of a device":  "SELECT group_concat(json_extract(payload, '$.latitude'))" + ofOne,
	} {
		b.Run(name, func(b *testing.B) { benchmarkQuery(b, e.path, query) })
	}
}

func benchmarkQuery(b *testing.B, path, query string) {
	db := connect(b, path)
	defer db.Close()
	ask := func(hint string) time.Duration {
		begin := time.Now()
		var answer string
		if err := db.QueryRowContext(context.Background(), fmt.Sprintf(query, hint)).Scan(&answer); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin)
	}
	var with, without time.Duration
	for b.Loop() {
		without += ask("NOT INDEXED")
		with += ask("")
	}
	b.ReportMetric(with.Seconds()*1000/float64(b.N), "ms")
	b.ReportMetric(without.Seconds()*1000/float64(b.N), "ms-without")
	b.ReportMetric(without.Seconds()/with.Seconds(), "ratio")
}

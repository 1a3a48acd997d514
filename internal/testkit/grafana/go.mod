module git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit/grafana

go 1.26

require github.com/grafana/grafana-foundation-sdk/go v0.0.22

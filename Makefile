# Everything that people and CI run. `make` alone lists the targets.
#
# Linters and generators come from tools/go.mod and are built once into bin/tools;
# the load generators live in bench/, a module of its own, apart from the product.

GO       ?= go
FUZZTIME ?= 20s
COVERAGE ?= 90
DURATION ?= 5m
SEED     ?= 0
SEEDS    ?= 1000
TASKS    ?= 0
AGENTS   ?= 0
EXAMPLES := /tmp/aloft-examples
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

TOOLS    := bin/tools/.built
LINTER   := $(CURDIR)/bin/tools/golangci-lint run --allow-serial-runners --concurrency 2 --timeout 15m --config $(CURDIR)/.golangci.yml
BUF      := bin/tools/buf
TESTED   := -timeout 12m

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name text; do printf '  %-13s %s\n' "$$name" "$$text"; done

.PHONY: build
build: ## build the binary into bin/aloft
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/aloft ./cmd/aloft

.PHONY: examples
examples: ## put builds of the example services where examples/*.yaml fetch them
	@mkdir -p $(EXAMPLES)
	@for v in v1 v2 v3; do \
		$(GO) build -trimpath -ldflags "-X main.version=$$v" -o $(EXAMPLES)/hello ./examples/hello && \
		tar -czf $(EXAMPLES)/hello-$$v.tar.gz -C $(EXAMPLES) hello || exit 1; \
	done
	@cp examples/nostop.py $(EXAMPLES)/

.PHONY: demo
demo: build ## change a service's version under load and count what was lost
	cd bench && $(GO) build -trimpath -o ../bin/demo ./demo
	bin/demo --aloft bin/aloft --source .

.PHONY: chaos
chaos: build ## make every part fail under load for DURATION (5m), by SEED; needs root
	@[ "$$(id -u)" != 0 ] || .ci/need ip:iproute2 iptables
	cd bench && $(GO) build -trimpath -o ../bin/chaos ./chaos
	bin/chaos --aloft bin/aloft --duration $(DURATION) --seed $(SEED)

.PHONY: test
test: ## run all tests, those with the real binary included
	@.ci/need python3
	@[ "$$(id -u)" != 0 ] || .ci/need ip:iproute2 iptables || echo 'tests with machines out of namespaces are skipped' >&2
	@status=0; \
	$(GO) test $(TESTED) ./... || status=1; \
	(cd bench && $(GO) test $(TESTED) ./...) || status=1; \
	exit $$status

.PHONY: sim
sim: ## live SEEDS whole clusters with faults on virtual time, from SEED on
	$(GO) test -count=1 -timeout 60m ./sim -seeds $(SEEDS) -seed $(SEED)

.PHONY: race
race: ## run all tests under the race detector
	@.ci/need python3 gcc
	CGO_ENABLED=1 $(GO) test -race $(TESTED) ./...
	cd bench && CGO_ENABLED=1 $(GO) test -race $(TESTED) ./...

.PHONY: lint
lint: $(TOOLS) ## check style, architecture, contracts and that the generated code is current
	$(LINTER) ./...
	cd bench && $(LINTER) ./...
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	$(GO) test -run '^TestArchitecture' .
	$(BUF) lint
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(BUF) generate --output "$$fresh"; \
	diff -r "$$fresh/gen" gen || { echo 'gen/ is not what proto/ says; run make generate' >&2; exit 1; }

.PHONY: generate
generate: $(TOOLS) ## write gen/ from proto/
	$(BUF) generate

.PHONY: format
format: $(TOOLS) ## put every Go and proto file into its one form
	bin/tools/golangci-lint fmt
	$(BUF) format --write

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		package=$$(dirname "$$file"); \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$package $$target"; \
			(cd "$$package" && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .); \
		done; \
	done

.PHONY: bench
bench: build ## measure everything into bench/RESULTS.md: 17 minutes on two quiet cores
	@.ci/need haproxy nginx wrk h2load:nghttp2-client
	cd bench && $(GO) test -tags rivals ./rival
	cd bench && $(GO) build -trimpath -o ../bin/figures ./figures
	bin/figures --aloft bin/aloft --source . --results bench/RESULTS.md

.PHONY: bench-faults
bench-faults: build ## measure what faults cost, and write that into bench/RESULTS.md
	cd bench && $(GO) build -trimpath -o ../bin/figures ./figures
	bin/figures --aloft bin/aloft --source . --results bench/RESULTS.md --only faults,large

.PHONY: c1m
c1m: build ## start a million tasks on 5,000 agents; TASKS and AGENTS for another size
	cd bench && $(GO) build -trimpath -o ../bin/figures ./figures
	bin/figures --aloft bin/aloft --source . --results bench/RESULTS.md --only c1m --tasks $(TASKS) --agents $(AGENTS)

.PHONY: cover
cover: ## hold the coverage of core to COVERAGE percent
	$(GO) test -coverpkg=./core/... -coverprofile=cover.out ./core/...
	@$(GO) tool cover -func=cover.out | awk -v want=$(COVERAGE) \
		'/^total:/ { have = $$3 + 0; printf "core is covered to %.1f %%, want %d %%\n", have, want; exit have < want }'

.PHONY: clean
clean: ## remove what these targets made
	rm -rf bin cover.out $(EXAMPLES)

$(TOOLS): tools/go.mod tools/go.sum
	@mkdir -p bin/tools
	cd tools && $(GO) build -o ../bin/tools/ tool
	@touch $@

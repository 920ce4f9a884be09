# Everything that is made lies under bin/ and .cache/; both can be deleted.
export CGO_ENABLED = 0
CACHE  := $(CURDIR)/.cache
PYTHON ?= python3
UV     := $(CACHE)/uv/bin/uv
DEMO   := torch tensorflow
TESTED := $(DEMO) converters boosting paddle litert signing packages notebook
FULL   := torch21 torch26 jax
envs    = $(1:%=$(CACHE)/python/%/.made)
COSIGN_VERSION      := v3.1.3
STATICCHECK_VERSION := v0.8.2

.PHONY: help build demo test test-full bench lint vet race fuzz update tools clean

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

build: ## Build bin/convrun
	go build -trimpath -ldflags='-s -w' -o bin/convrun ./cmd/convrun

demo: build $(call envs,$(DEMO)) ## Convert a real torch and a real Keras model under convrun, verify, report
	PATH="$(CURDIR)/bin:$$PATH" sh testdata/demo/demo.sh "$(CACHE)"

test: build tools ## Make what the tests need, and run them
	go test ./...

test-full: build tools $(call envs,$(FULL)) ## All tests, those that take long too, three times, and 50,000 inputs for a fuzz target
	CONVRUN_FULL=1 go test -count 3 -timeout 90m ./...
	.ci/fuzz 50000x

bench: build tools $(CACHE)/python/reprozip/.made ## Measure convrun and its like against the bare command, in pairs
	go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./cmd/convrun ./provenance/model ./runner/...

lint: $(CACHE)/bin/staticcheck ## Check form; writes nothing
	@test -z "$$(gofmt -l cmd printable provenance runner sign strictjson | tee /dev/stderr)"
	$(CACHE)/bin/staticcheck ./...

vet: ## go vet, also for the systems that are not tested
	for t in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do GOOS=$${t%/*} GOARCH=$${t#*/} go vet ./... || exit 1; done

race: ## The concurrent packages under the race detector
	CGO_ENABLED=1 go test -race -skip "Oracle|Many|Huge|OtherMethods|WithoutRoot" ./runner ./runner/trace/...

fuzz: ## Every fuzz target with 2,000 inputs
	.ci/fuzz 2000x

update: ## Make again what is generated: docs, schema, golden files
	go test ./cmd/convrun ./provenance ./provenance/finding ./provenance/report -run 'Docs|Schema|Golden|Fixture' -update

tools: $(call envs,$(TESTED)) $(CACHE)/bin/cosign ## Make the environments and tools that the tests need
	.ci/tools

$(UV):
	$(PYTHON) -m venv $(CACHE)/uv
	$(CACHE)/uv/bin/pip install --quiet uv==0.13.9

$(CACHE)/python/%/.made: testdata/python/%.txt | $(UV)
	$(PYTHON) -m venv --clear $(@D)
	$(UV) pip install --quiet --compile-bytecode --python $(@D)/bin/python -r $<
	touch $@

$(CACHE)/bin/cosign:
	GOBIN=$(@D) go install github.com/sigstore/cosign/v3/cmd/cosign@$(COSIGN_VERSION)

$(CACHE)/bin/staticcheck:
	GOBIN=$(@D) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

clean: ## Delete what was made
	rm -rf bin .cache

# What people and .ci/run call. Building needs Go (the version in go.mod) and
# nothing else; the tests also start real clients and a browser, see .ci/deps.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
FUZZTIME ?= 10s

# One set of compiled packages for building, vetting and testing, in a clone too;
# what only a debugger reads takes a sixth of the compiler's time.
export GOFLAGS := -trimpath -gcflags=all=-dwarf=false $(GOFLAGS)

# Tests that start node, npm, Chromium, curl or nginx, or another program, or that
# take longer than everything else of their package: make quick leaves them out,
# make test never. make race leaves out CLIENTS: they show how other programs fare
# with one server, and what races in that the tests of each package show.
CLIENTS  := TestClients|TestFirstSteps|TestDashboardInBrowser|TestFollowToTheEnd|TestExamples|TestInBrowser|TestModules|TestBehindNginx|TestAgentClients|TestSlurm|TestDocumentedClients|TestCommandsFromAClone
PROGRAMS := $(CLIENTS)|TestWebhooksSurviveKills|TestReplicas.*|TestBackupRestoreMigrate
LONG     := TestReloadsUnderLoad|TestBitFlips|TestIndexManyMatches|TestStreamEndsWithAProblem|TestNobodySeesAnothersAnswer|TestAgentsWaitTogether

# Tests of one package that run side by side, those that may mostly wait, and
# packages that are compiled or tested at the same time: more than cores, for the
# same reason.
PARALLEL := 4
PACKAGES := 3

# The race detector watches our code and every library but the SQLite that was
# translated from C: there it finds nothing and triples what a test costs.
RACE := -race '-gcflags=modernc.org/...=-race=false -dwarf=false'

# What takes longest comes first, so that nothing is left to wait for alone; the
# first wants nearly everything that is compiled, so others lose nothing by it.
LONGEST := ./cmd/pollux ./cache/postgres ./proxy ./proxy/poller ./proxy/fleet/dashboard ./benchmarks
OTHERS   = $(shell go list ./... | grep -v $(LONGEST:./%=-e /%$$))

.PHONY: build demo test race quick deps lint fmt fuzz bench bench-peers bench-replicas soak soak-replicas release-check

build:               ## bin/pollux
	@test -e bin/pollux || echo "building pollux: the first time, modules are fetched and compiled, which takes a minute or two"
	go build -ldflags '$(LDFLAGS)' -o bin/pollux ./cmd/pollux

demo: build          ## simulated upstreams, Pollux and clients, until Ctrl-C
	bin/pollux demo $(DEMO)

test: deps build     ## every test
	@echo "test: every test, with browsers and vendors' clients: eleven minutes on two cores the first time"
	@echo "test: (make quick takes two minutes: format, vet, and what needs nothing but Go)"
	@echo "test: the package that takes longest comes first, and what others say waits for it: some minutes of silence"
	go test -vet=off -shuffle=on -p $(PACKAGES) -parallel $(PARALLEL) -timeout 15m $(LONGEST) $(OTHERS)

race: deps           ## every test that can race, with the race detector
	@echo "race: left out are $(CLIENTS), which make test runs"
	go test $(RACE) -vet=off -shuffle=on -p $(PACKAGES) -parallel $(PARALLEL) -timeout 15m -skip '^($(CLIENTS))$$' $(LONGEST) $(filter-out pollux/benchmarks/pollbench%,$(OTHERS))

quick: fmt           ## format, vet, and what needs no other program, in two minutes
	@echo "quick: vet, then the tests that need nothing but Go: two minutes on two cores, longer with an empty build cache"
	@echo "quick: left out are benchmarks and $(PROGRAMS)|$(LONG)"
	go vet ./...
	go test -vet=off -parallel $(PARALLEL) -timeout 5m -skip '^($(PROGRAMS)|$(LONG))$$' $$(go list ./... | grep -v -e /benchmarks -e /cache/postgres$$)

deps:                ## installs what the tests start
	.ci/deps

lint: fmt            ## vet, staticcheck (pinned in tools.mod) and the import rules
	go vet ./...
	go tool -modfile=tools.mod staticcheck ./...
	go test -run '^TestImportsPointDown$$' ./cmd/pollux

fmt:                 ## fails if gofmt would change anything
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); \
	test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }

fuzz:                ## every fuzz target for FUZZTIME
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			echo "$$dir $$target"; \
			go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) $$dir; \
		done; \
	done

bench:               ## benchmarks beside the code; see benchmarks/ for the load scenarios
	go test -run='^$$' -bench=. -benchmem ./...

bench-peers: build   ## Pollux beside nginx, Varnish and bare Go, into benchmarks/PEERS.md (Debian, as root); PEERS=-short takes minutes
	@test -x /usr/sbin/nginx -a -x /usr/sbin/varnishd || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light varnish >/dev/null; }
	go run ./benchmarks/peers -pollux bin/pollux -out benchmarks $(PEERS)

bench-replicas:      ## one, two and three replicas beside the embedded store, and calls of PostgreSQL (root), as in benchmarks/REPLICAS.md
	go test ./cmd/pollux -run '^$$' -bench 'ReplicasPolls' -benchtime 200000x
	go test ./cmd/pollux -run '^$$' -bench 'ReplicasMisses' -benchtime 6000x
	go test ./cmd/pollux -run '^$$' -bench 'ReplicasFollowers' -benchtime 360x
	go test ./cache/postgres -run '^$$' -bench 'Begin|Commit|Get|Notice' -benchtime 5000x

soak-replicas:       ## 20 deaths of replicas, 20 s of every trouble, random faults, 1,000,000 rows (PostgreSQL, root)
	POLLUX_SOAK=20 go test ./cmd/pollux -run 'TestReplicas(TakeOver|Trouble|Faults)' -count=1 -timeout 60m -v
	POLLUX_HISTORIES=3000 go test ./proxy/poller -run 'TestHistories$$' -count=1 -timeout 60m -v
	go test ./cache/postgres -run 'TestManyTasks' -list.tasks 1000000 -count=1 -timeout 30m -v

soak: build          ## 30 minutes under load with a million tasks, in a container of 256 MiB (root)
	go run ./benchmarks/soak $(SOAK)

release-check:       ## builds and tries what a release consists of (root, Debian; some twenty minutes)
	deploy/check/release

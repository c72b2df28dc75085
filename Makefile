# The student's commands. LAB is a lab's number or name (03, 3, eventloop),
# SIDE is labs (yours, the default) or solutions (the reference).
# Exit statuses are make's own here; the finer ones are those of .asynclab/bin/lab.

LAB =
SIDE = labs
ARGS =

bin := .asynclab/bin/lab
lab = @[ -x $(bin) ] || echo 'compiling the lab command: this once it takes a moment' >&2; \
	go build -tags light -o $(bin) ./harness/cmd/lab && $(bin)
heavy = @[ -x $(bin)-heavy ] || echo "building the lab command (only the first time takes long)"; go build -o $(bin)-heavy ./harness/cmd/lab && $(bin)-heavy
side = --side $(SIDE)
step = $(if $(STEP),--step $(STEP))
json = $(if $(JSON),--json)
yes = $(if $(YES),--yes)

.DEFAULT_GOAL := help
.PHONY: help check watch hint compare profile adopt reset progress report doctor mutants crash queues soak costs claims demo storm resume peers book test skeletons steps autopsies

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'
	@echo "  LAB=03 (or 3, eventloop) names the lab; SIDE=solutions looks at the reference"

check: ## build, check every rule, measure the targets, count the points [LAB= STEP= SIDE= JSON=1 ALL=1 TARGETS=0|1]
	$(lab) check $(LAB) $(side) $(step) $(json) $(if $(ALL),--all) $(if $(filter 0,$(TARGETS)),--no-targets) $(if $(filter 1,$(TARGETS)),--targets) $(ARGS)

watch: ## check the rules again whenever you save a file [LAB= STEP=]
	$(lab) watch $(LAB) $(step) $(ARGS)

hint: ## the next hint for the first check that failed [LAB=]
	$(lab) hint $(LAB) $(ARGS)

compare: ## your targets beside the reference's, with a page of latency curves [LAB=]
	$(heavy) compare $(LAB) $(ARGS)

profile: ## where the time and memory go, beside the reference's [LAB= SIDE=]
	$(heavy) profile $(LAB) $(side) $(ARGS)

adopt: ## put the reference in place of your code, which is kept [LAB= YES=1]
	$(lab) adopt $(LAB) $(yes) $(ARGS)

reset: ## put the skeleton in place of your code, which is kept [LAB= YES=1]
	$(lab) reset $(LAB) $(yes) $(ARGS)

progress: ## points by lab; with LAB=, that lab's history [SIDE=]
	$(lab) progress $(LAB) $(side) $(ARGS)

report: ## one page of all your results: points, targets over time, latency, profiles
	$(heavy) report $(ARGS)

doctor: ## what this machine gives the labs, and how to mend what is short [JSON=1]
	$(lab) doctor $(json) $(ARGS)

costs: ## what a system call, a goroutine, a copy, a connection cost on this machine [JSON=1]
	$(lab) costs $(json) $(ARGS)

mutants: ## the wrong implementations, and the check that refuses each [LAB=]
	$(lab) mutants $(LAB) $(ARGS)

crash: ## lab 14's log under load, killed (SIGKILL) 500 times: nothing acknowledged may be missing [SIDE=labs CYCLES= SEED= JSON=1]
	$(heavy) crash --side $(if $(filter command%,$(origin SIDE)),$(SIDE),solutions) $(if $(CYCLES),--cycles $(CYCLES)) $(if $(SEED),--seed $(SEED)) $(json) $(ARGS)

soak: ## the reference 50 times in a row with two CPU hogs beside it [LAB= SIDE=labs N=50]
	$(lab) soak $(LAB) --side $(if $(filter command%,$(origin SIDE)),$(SIDE),solutions) $(if $(N),--runs $(N)) $(ARGS)

claims: ## the article's claims, each measured against its naive counterpart; five minutes [JSON=1 ONLY=sendfile QUICK=1]
	$(heavy) claims $(json) $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) $(if $(WRITE),--write) $(ARGS)

demo: ## the finished server under up to 100,000 clients, live, for a minute [SIDE=labs]
	$(heavy) demo --side $(if $(filter command%,$(origin SIDE)),$(SIDE),solutions) $(json) $(ARGS)

storm: ## the finished server on its worst day, three minutes: kills, resets, half-open handshakes, garbage, slow readers [SIDE=labs]
	$(heavy) storm --side $(if $(filter command%,$(origin SIDE)),$(SIDE),solutions) $(ARGS)

resume: ## the finished server is restarted under 1,000 clients of a kept room, four times: all come back, none misses a message [SIDE=labs JSON=1]
	$(heavy) resume --side $(if $(filter command%,$(origin SIDE)),$(SIDE),solutions) $(json) $(ARGS)

peers: ## the reference beside seven other WebSocket servers (downloads them; 20 minutes) [ARGS="-rounds 1"]
	@cd harness/peers && go run . $(if $(JSON),-json) $(ARGS)

book: ## the documents and handouts as a book with search, served on this machine [ARGS="--out DIR"]
	$(heavy) book $(ARGS)

pools: ## lab 12's pool beside ants and beside a goroutine for each task (downloads ants; two minutes)
	@cd harness/peers && go run ./pools $(if $(JSON),-json) $(ARGS)

queues: ## lab 14's log beside NATS JetStream and bbolt, on the same disk (downloads them; two minutes)
	@cd harness/peers && go run ./queues $(if $(JSON),-json) $(ARGS)

test: ## the course's own tests: format, vet, staticcheck, harness, solutions
	@scripts/test.sh

skeletons: ## for authors: store the skeletons that make reset puts back
	$(lab) skeletons --write

steps: ## for authors: each step's checks on the reference with the holes of later steps put back: they must pass [LAB= STEP= JSON=1]
	$(lab) steps $(LAB) $(step) $(json) $(ARGS)

autopsies: ## for authors: write docs/autopsies.md from the judges' mutants
	$(lab) autopsies --write

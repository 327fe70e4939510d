# Shorthands; the work is done by scripts/, which run without make too.
.PHONY: help setup build demo run test sim check fuzz bench bench-compare stages fmt
.DEFAULT_GOAL := help

help:   ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15
setup:  ## installs what build, tests and checks need, from Debian's packages
	@scripts/setup --check
build:  ## leaves build/release/codeq
	@scripts/build release
demo:   ## the main job and its trace, in a minute
	@scripts/demo
run: build  ## a development broker on port 8080; tokens are printed
	@build/release/codeq dev --data build/dev-data
test:   ## all tests that need Debian packages only; `scripts/test --partners` for the rest
	@scripts/test
sim:    ## N=20000 histories of one broker under faults (tests/sim)
	@scripts/build release codeq_sim && build/release/tests/sim/codeq_sim --seeds $(or $(N),20000)
check:  ## formatting, clang-tidy, race detector, long crash test, power cuts, simulation
	@scripts/check
fuzz:   ## every fuzz target for FUZZ_SECONDS=30
	@scripts/fuzz
bench:  ## cost, latency, memory and disk of a task beside their targets, in ten minutes
	@scripts/bench
stages: ## what each stage of the hot path costs: time, then instructions beside those kept in the repo
	@scripts/stages
bench-compare:  ## peers and CodeQ doing the same work in turn: bench/report.html and the table in docs/performance.md
	@scripts/bench-compare $(ARGS)
fmt:    ## formats all C++ sources
	@scripts/fmt

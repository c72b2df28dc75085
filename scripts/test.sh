#!/usr/bin/env bash
# The course's own tests: what must hold before a change is shared. `make test`
# runs it. Each part prints its name and time; the first that fails ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

part() { # part NAME COMMAND...: runs the command under a heading
  local name=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if ! "$@"; then
    printf '\nFAILED: %s (%s s). Repeat it with: %s\n' "$name" $((SECONDS - began)) "$*" >&2
    exit 1
  fi
  printf -- '-- %s s\n' $((SECONDS - began))
}

formatted() { # every Go file as gofmt writes it
  local files
  files=$(gofmt -l capstone harness labs solutions)
  [ -z "$files" ] && return
  printf 'gofmt -w these:\n%s\n' "$files"
  return 1
}

need_race() { # the race detector needs a C compiler on Linux
  [ "$(go env CGO_ENABLED)" = 1 ] && command -v "$(go env CC | cut -d' ' -f1)" >/dev/null
}

race=-race
if ! need_race; then
  echo 'no C compiler, so no race detector: sudo apt-get install gcc. Testing without it.'
  race=
fi

part 'gofmt' formatted
part 'go vet' go vet ./...
part 'staticcheck' go tool staticcheck ./...
# Fuzz targets run their seeds as part of go test. What takes longest begins first,
# so that it does not run alone at the end; most of it waits, so four at a time are
# not too many for two cores. go vet has been.
long='./solutions/capstone ./harness/capstonetest ./harness/zerocopytest ./harness/eventlooptest ./harness/reactortest'
part 'harness: the judges, their mutants, the command line, the laws; solutions keep every rule' \
  go test $race -vet=off -p 4 $long ./harness/... ./solutions/...
printf '\nall passed in %s s\n' "$SECONDS"

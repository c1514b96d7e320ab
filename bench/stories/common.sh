# Shared by the long runs in this folder: calls the command line and keeps what it printed.
#
#   SPARSELAND_DATA   folder with the data sets (see docs/data.md, or: sparseland list data)
#   SPARSELAND        the command line to use (default: the Release build of this checkout)
#   STORY_SEEDS       seeds of the runs that have several (default: 1 2 3)
#   STORY_AGAIN=1     run again what has a result already
set -euo pipefail
: "${SPARSELAND_DATA:?set SPARSELAND_DATA to the folder with the data sets}"
export SPARSELAND_DATA
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
SPARSELAND=${SPARSELAND:-dotnet src/Sparseland.Cli/bin/Release/net10.0/sparseland.dll}
STORY_SEEDS=${STORY_SEEDS:-1 2 3}
results=${STORY_RESULTS:-bench/results/stories}
runs=${STORY_RUNS:-runs/stories}
mkdir -p "$results" "$runs"
command -v jq > /dev/null || { echo "these scripts need jq"; exit 1; }

# story NAME VERB ARGUMENTS...: runs the verb with --json and writes $results/NAME.json
# with the command, the commit, the date, the machine and what the verb printed.
story() {
  local name=$1; shift
  local out="$results/$name.json" said="$runs/$name.out.json"
  if [ -s "$out" ] && [ -z "${STORY_AGAIN:-}" ]; then echo "$name: there already"; return; fi
  local line="sparseland"
  for word in "$@"; do line+=" ${word/#$SPARSELAND_DATA/\$SPARSELAND_DATA}"; done
  echo "== $name: $line"
  local started=$SECONDS
  # shellcheck disable=SC2086
  if ! $SPARSELAND "$@" --json --no-progress > "$said" 2> "$runs/$name.log"; then
    echo "$name: failed"; tail -5 "$runs/$name.log"; return 1
  fi
  jq --arg command "$line" --arg commit "$(git rev-parse --short HEAD)" --arg date "$(date -u +%F)" \
     --arg machine "$(lscpu | sed -n 's/^Model name: *//p' | head -1), $(nproc) cores" --arg load "$(cut -d' ' -f1 /proc/loadavg)" \
     --argjson seconds $((SECONDS - started)) \
     '{command: $command, commit: $commit, date: $date, machine: $machine, loadAverage: ($load | tonumber), seconds: $seconds, result: .}' "$said" > "$out.tmp"
  mv "$out.tmp" "$out"
  echo "$name: $((SECONDS - started)) s"
}

# What every script here needs. Sourced, never run; bash only, and nothing that a bare Debian lacks.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${CODEQ_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/codeq}   # partners' binaries; safe to delete

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Build jobs: min(cores, available memory / 1 GB), at least one. A compiler here peaks below 800 MB.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo)
  [ "$memory" -lt "$cores" ] && cores=$memory
  [ "$cores" -ge 1 ] || cores=1
  printf '%s\n' "$cores"
}

# build PRESET [TARGET...]: configure where needed, then build. Extra cmake settings: CODEQ_CMAKE_ARGS (words).
build() {
  local preset=$1 started=$SECONDS
  shift
  say "build: $preset ($(jobs) jobs)"
  # shellcheck disable=SC2086
  (cd "$root" && cmake --preset "$preset" ${CODEQ_CMAKE_ARGS:-} >"$root/build/$preset.configure.log" 2>&1) ||
    { cat "$root/build/$preset.configure.log" >&2; die "cmake --preset $preset failed"; }
  (cd "$root" && cmake --build --preset "$preset" --parallel "$(jobs)" ${1:+--target "$@"})
  note "built $preset in $((SECONDS - started)) s"
}
mkdir -p "$root/build"

# A TCP port of loopback that nobody listens on, below the range that the kernel hands out to clients.
free_port() {
  local port
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s\n' "$port"
      return
    fi
  done
  die "no free port found"
}

# Sanitizers: report and stop. TSan cannot map its shadow where the kernel randomises more than 28 bits.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
fixed_addresses() {
  if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -gt 28 ] && command -v setarch >/dev/null; then
    setarch -R "$@"
  else
    "$@"
  fi
}

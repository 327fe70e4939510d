#!/bin/sh
# A worker in a page of shell: claims tasks of one command, gives the first delivery back, completes the second.
#
#   CODEQ_URL=http://127.0.0.1:8080 CODEQ_TOKEN=... scripts/demo-worker.sh COMMAND DELIVERIES
#
# What it shows: the claim's answer carries the trace to continue. A real worker would make its own spans children of
# that traceParent; this one sends it on with each of its calls.
set -eu
command=$1 deliveries=$2

# call TRACEPARENT PATH BODY: prints the answer; fails on a status of 400 and above.
call() {
  curl -sS --fail-with-body "$CODEQ_URL/v1/codeq/tasks$2" -H "Authorization: Bearer $CODEQ_TOKEN" ${1:+-H "traceparent: $1"} -d "$3"
}
text() { printf '%s' "$2" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
number() { printf '%s' "$2" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

while [ "$deliveries" -gt 0 ]; do
  task=$(call '' /claim "{\"commands\":[\"$command\"],\"leaseSeconds\":30,\"waitSeconds\":15}")
  [ -n "$task" ] || { echo "nothing to do within 15 s" >&2; exit 1; }
  id=$(text id "$task") attempt=$(number attempts "$task") context=$(text traceParent "$task")
  echo "attempt $attempt of $id, traceParent $context"
  sleep 0.2  # the work
  if [ "$attempt" = 1 ]; then
    call "$context" "/$id/heartbeat" '{"extendSeconds":30}' >/dev/null
    call "$context" "/$id/nack" '{"delaySeconds":1,"reason":"the printer is warming up"}' >/dev/null
  else
    call "$context" "/$id/result" '{"status":"COMPLETED","result":{"pages":1}}' >/dev/null
  fi
  deliveries=$((deliveries - 1))
done

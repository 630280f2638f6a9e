#!/usr/bin/env bash
# Two members and a line of 1,200 bit/s with 2 s delay that loses one packet in twenty: TUN devices in two
# network namespaces, and a program between them that shapes what they carry.
#
#   Ana writes twenty posts that Ben lacks. `lanai sync --stdio --profile thin` at her end, and without a profile at
#   his, bring them over UDP; then both show the same. How long it took is printed.
#
# Needs root, `ip` (iproute2), python3 and /dev/net/tun; exits with 77 where they are not.
#   LANAI_LINE_BITS=1200 LANAI_LINE_DELAY=2 LANAI_LINE_LOSS=0.05 LANAI_LINE_SEED=1   another line
#   LANAI_TEST_PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."

bits=${LANAI_LINE_BITS:-1200}
delay=${LANAI_LINE_DELAY:-2}
loss=${LANAI_LINE_LOSS:-0.05}
seed=${LANAI_LINE_SEED:-1}
profile=${LANAI_TEST_PROFILE:-dev}
[ "$profile" = dev ] && out=debug || out=$profile

say() { printf '%6ss  %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

id="tl$$"
work=$(mktemp -d)
pids=()

clean() {
    for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done
    for h in ana ben; do [ -d "$work/$h" ] && lanai "$h" node stop >/dev/null 2>&1 || true; done
    for h in a b; do ip netns del "$id-$h" 2>/dev/null || true; done
    rm -rf "$work"
}

for tool in ip python3; do command -v "$tool" >/dev/null 2>&1 || exit 77; done
[ -c /dev/net/tun ] || exit 77
ip netns add "$id-a" 2>/dev/null || exit 77

cargo build --locked -q --profile "$profile" -p lanai --bin lanai
bin=$PWD/target/$out/lanai
lanai() { local h=$1; shift; LANAI_HOME=$work/$h "$bin" --no-pager --quiet "$@"; }
trap clean EXIT
ip netns add "$id-b"

python3 tests/thin_line.py shape "$id-a" "$id-b" "$delay" "$loss" "$bits" "$seed" >"$work/shaper" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
    grep -q ready "$work/shaper" && break
    kill -0 "${pids[0]}" 2>/dev/null || { cat "$work/shaper"; say "no TUN device can be made here"; exit 77; }
    sleep 0.1
done
ip -n "$id-a" addr add 10.79.0.1 peer 10.79.0.2 dev "$id-a"
ip -n "$id-b" addr add 10.79.0.2 peer 10.79.0.1 dev "$id-b"
for h in a b; do ip -n "$id-$h" link set "$id-$h" up; done

lanai ana up --no-mdns --no-beacon --listen 127.0.0.1 --name Ana
ticket=$(lanai ana invite --no-addresses --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["ticket"])')
address=$(lanai ana status --json | python3 -c 'import json,sys
print(next(a for a in json.load(sys.stdin)["node"]["listening"] if "/tcp/" in a))')
for key in mdns beacon; do lanai ben config set "$key" false; done
lanai ben config set listen 127.0.0.1
lanai ben join "$ticket" --name Ben --dial "$address" --wait 40s
thread=$(lanai ana ask "Who was at the ford?" -m "Since the rain." --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
lanai ana sync --wait 20s
lanai ana node stop
lanai ben node stop
for n in $(seq 20); do
    lanai ana reply "$thread" -m "Report $n: the ford was open at noon, trucks went one at a time, and the second \
bend below the mill is washed out; $((n * n % 91)) people came by the school."
done
say "twenty posts are written"

end() { # host, own address, the other's, namespace, options
    local home=$1 own=$2 other=$3 ns=$4
    shift 4
    LANAI_HOME=$work/$home ip netns exec "$ns" python3 tests/thin_line.py join "$own" "$other" -- \
        "$bin" --no-pager sync --stdio --json --verbose "$@" 2>"$work/$home.err"
}
end ben 10.79.0.2 10.79.0.1 "$id-b" --wait 5m &
pids+=($!)
end ana 10.79.0.1 10.79.0.2 "$id-a" --profile thin &
ana=$!
pids+=("$ana")
until grep -q "is there; comparing" "$work/ana.err"; do
    kill -0 "$ana" 2>/dev/null || { cat "$work/ana.err" "$work/ben.err"; fail "they did not meet"; }
    sleep 0.1
done
open=$(date +%s.%N)
say "the session is open"
wait "$ana" || { cat "$work/ana.err" "$work/ben.err"; fail "Ana's end"; }
took=$(python3 -c "import sys,time; print(round(time.time() - float(sys.argv[1]), 1))" "$open")
wait "${pids[1]}" || { cat "$work/ben.err"; fail "Ben's end"; }
tail -n 1 "$work/ana.err"
hash() { lanai "$1" status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["state_hash"])'; }
[ "$(hash ana)" = "$(hash ben)" ] || fail "they do not show the same"
say "Ben has all twenty, $took s after the session was open"

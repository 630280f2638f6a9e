#!/usr/bin/env bash
# Many nodes on one bridge, each in a network namespace of its own: they find each other with mDNS alone, with the
# beacon alone and with one typed address alone, also beside fakes that announce themselves; a post reaches all.
# Then an address changes, a node sleeps and a link is cut, and all are together again without a restart.
#
# Needs root and `ip` (iproute2) to make network namespaces; exits with 77 where it cannot.
#   LANAI_NODES=50            how many (default: 12)
#   LANAI_FAKES=200           fakes beside them in the runs that have some (default: 40)
#   LANAI_POSTS=100           posts that are timed in each run (default: 5)
#   LANAI_RUNS="beacon typed" which runs, of: mdns beacon typed mdns-fakes beacon-fakes typed-fakes
#                             (default: mdns beacon typed mdns-fakes; survival comes after them)
#   LANAI_SURVIVAL=no         leaves out what comes after them
#   LANAI_LIMIT=10            seconds in which all must have found all (default: 60, since nothing is asserted
#                             of speed where other work may be going on)
#   LANAI_TEST_PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."

nodes=${LANAI_NODES:-12}
fakes=${LANAI_FAKES:-40}
posts=${LANAI_POSTS:-5}
runs=${LANAI_RUNS-mdns beacon typed mdns-fakes}
limit=${LANAI_LIMIT:-60}
profile=${LANAI_TEST_PROFILE:-dev}
[ "$profile" = dev ] && out=debug || out=$profile

say() { printf '%6ss  %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

id="lf$$"
work=$(mktemp -d)
pids=()

declare -A room=()

clean() {
    for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for n in $(seq 0 $((nodes - 1))) x; do ip netns del "$id-$n" 2>/dev/null || true; done
    ip link del "$id-br" 2>/dev/null || true
    for key in "${!room[@]}"; do
        [ -z "${room[$key]}" ] || sysctl -qw "$key=${room[$key]}" 2>/dev/null || true
    done
    rm -rf "$work"
}

command -v ip >/dev/null 2>&1 || exit 77
ip netns add "$id-x" 2>/dev/null || exit 77
if ! ip link add "$id-br" type bridge 2>/dev/null; then
    ip netns del "$id-x"
    exit 77
fi
trap clean EXIT

# All namespaces of one machine share a table of neighbours, in which some 1,000 have room: fifty hosts that
# talk to each other are 2,450. What it was comes back at the end.
for n in 1 2 3; do
    key=net.ipv4.neigh.default.gc_thresh$n
    room[$key]=$(sysctl -n "$key" 2>/dev/null || true)
    if [ -n "${room[$key]}" ]; then
        sysctl -qw "$key=$((8192 << n))" 2>/dev/null || say "the table of neighbours stays as small as it is"
    fi
done

cargo build --locked -q --profile "$profile" -p lanai --bin lanai --example lan_bench
program=$PWD/target/$out/lanai
bench=$PWD/target/$out/examples/lan_bench

# A bridge that floods group and broadcast packets to everybody, as a plain switch does.
ip link set "$id-br" type bridge mcast_snooping 0
ip link set "$id-br" up
attach() { # namespace, address
    ip link add "$id-$1" type veth peer name eth0 netns "$id-$1"
    ip link set "$id-$1" master "$id-br" up
    ip -n "$id-$1" addr add "$2/16" dev eth0
    ip -n "$id-$1" link set lo up
    ip -n "$id-$1" link set eth0 up
}
for n in $(seq 0 $((nodes - 1))); do
    ip netns add "$id-$n"
    attach "$n" "10.77.0.$((n + 1))"
done
attach x 10.77.100.1

mkdir "$work/made"
say "$("$bench" --make "$nodes" --dir "$work/made")"

echo "| way | nodes | first found all, s | all found all, s | of that after the last was up, s | one graph, s | connections a node | post to one, p50 ms | p99 ms | post to all, p50 ms | p99 ms | CPU s | peak MiB |"
for run in $runs; do
    rm -rf "$work/now"
    cp -a "$work/made" "$work/now"
    fake=""
    if [ "$run" != "${run%-fakes}" ]; then
        ip netns exec "$id-x" "$bench" --fakes "$fakes" --seconds 3600 >"$work/fakes.log" 2>&1 &
        fake=$!
        pids+=("$fake")
        echo "($fakes fakes)"
    fi
    "$bench" --dir "$work/now" --namespace "$id-" --way "${run%-fakes}" --posts "$posts" \
        --limit "$limit" --program "$program" --counters >"$work/run.log" 2>&1 ||
        { cat "$work/run.log"; tail -q -n 2 "$work"/now/*.log; fail "$run"; }
    grep '^|' "$work/run.log"
    [ -n "${LANAI_COUNTERS:-}" ] && grep -v '^|' "$work/run.log"
    if [ -n "$fake" ]; then
        kill "$fake" 2>/dev/null || true
        wait "$fake" 2>/dev/null || true
    fi
done
[ "${LANAI_SURVIVAL:-yes}" = no ] && { say ok; exit 0; }

# ---- three of them live on: what a day on the road does to a network ------------------------------

rm -rf "$work/now"
cp -a "$work/made" "$work/now"
declare -A pid
on() { # node, command...
    local n=$1
    shift
    ip netns exec "$id-$n" "$program" --home "$work/now/n$n" --no-pager --quiet "$@" 2>>"$work/err.log"
}
start() {
    ip netns exec "$id-$1" "$program" --home "$work/now/n$1" node run >"$work/now/n$1.log" 2>&1 &
    pid[$1]=$!
    pids+=($!)
}
connected() { on "$1" peers --json 2>/dev/null | grep -o '"connected_s": *[0-9]' | wc -l; }
hash_of() { on "$1" status --json 2>/dev/null | grep -o '"state_hash": *"[^"]*"' || true; }
# Waits until all three are connected to the two others and hold the same.
await_together() { # seconds, what happened
    local begun=$SECONDS n equal first
    while :; do
        equal=1
        first=$(hash_of 0)
        for n in 0 1 2; do
            kill -0 "${pid[$n]}" 2>/dev/null || fail "node $n has ended: $2"
            [ "$(connected "$n")" = 2 ] && [ "$(hash_of "$n")" = "$first" ] || equal=0
        done
        if [ "$equal" = 1 ] && [ -n "$first" ]; then
            say "$2: together after $((SECONDS - begun))s"
            return
        fi
        if [ $((SECONDS - begun)) -ge "$1" ]; then
            for n in 0 1 2; do echo "--- node $n"; on "$n" status || true; tail -n 8 "$work/now/n$n.log"; done >&2
            fail "not together after $1 s: $2"
        fi
        sleep 0.2
    done
}
# Waits until a node is connected to so many.
await_connected() { # node, connections, seconds
    local begun=$SECONDS
    until [ "$(connected "$1")" = "$2" ]; do
        [ $((SECONDS - begun)) -lt "$3" ] || fail "node $1 has $(connected "$1") connections after $3 s, not $2"
        sleep 0.2
    done
}

for n in 0 1 2; do start "$n"; done
await_together 60 "three nodes start"
ask=$(on 0 ask "Who is still there?" -m "Answer from wherever you are." --json | grep -o '"id": *"[^"]*"' | head -n 1 | cut -d'"' -f4)
await_together 30 "an ask is written"

ip -n "$id-1" addr del 10.77.0.2/16 dev eth0
ip -n "$id-1" addr add 10.77.50.2/16 dev eth0
on 1 reply "$ask" -m "from another address" >/dev/null
await_together 60 "the address of one changes"

ip -n "$id-1" link del eth0
on 1 reply "$ask" -m "from nowhere" >/dev/null
await_connected 0 1 30
ip link add "$id-1" type veth peer name wlan0 netns "$id-1"
ip link set "$id-1" master "$id-br" up
ip -n "$id-1" addr add 10.77.60.2/16 dev wlan0
ip -n "$id-1" link set wlan0 up
await_together 60 "its interface goes and another one comes"

kill -STOP "${pid[2]}"
await_connected 0 1 30
on 0 reply "$ask" -m "while one sleeps" >/dev/null
kill -CONT "${pid[2]}"
await_together 60 "one sleeps until the others have given it up"

for n in 0 1 2; do ip link set "$id-$n" down; done
for n in 0 1 2; do await_connected "$n" 0 30; done
for n in 0 1 2; do on "$n" reply "$ask" -m "alone, $n" >/dev/null; done
for n in 0 1 2; do ip link set "$id-$n" up; done
await_together 60 "all links are cut and come back"
say ok

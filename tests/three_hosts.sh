#!/usr/bin/env bash
# Three hosts on one bridge, first contact by mDNS alone, with three unrelated nodes as neighbours.
#
#   Ana founds and imports an archive; Ben joins with a ticket; Ana's node stops; Cleo joins through
#   Ben and gets everything from Ben. Then all links are cut while everybody replies, edits and
#   reacts; ten seconds after the links are back, all three show the same.
#
# Needs root and `ip` (iproute2) to make network namespaces; exits with 77 where it cannot.
#   LANAI_TEST_ARCHIVE=FILE   import this mbox instead of the small one in the repository
#   LANAI_TEST_CUTS="5 60"    seconds that the links are down, one run each (default: 5)
#   LANAI_TEST_PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."

archive=${LANAI_TEST_ARCHIVE:-node/tests/fixtures/oddities.mbox}
cuts=${LANAI_TEST_CUTS:-5}
profile=${LANAI_TEST_PROFILE:-dev}
[ "$profile" = dev ] && out=debug || out=$profile

say() { printf '%6ss  %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

id="lt$$"
work=$(mktemp -d)
hosts=(ana ben cleo x)
pids=()

clean() {
    for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done
    for h in ana ben cleo; do
        [ -d "$work/$h" ] && lanai "$h" node stop >/dev/null 2>&1 || true
    done
    for h in "${hosts[@]}"; do ip netns del "$id-$h" 2>/dev/null || true; done
    ip link del "$id-br" 2>/dev/null || true
    rm -rf "$work"
}

command -v ip >/dev/null 2>&1 || exit 77
ip netns add "$id-ana" 2>/dev/null || exit 77
if ! ip link add "$id-br" type bridge 2>/dev/null; then
    ip netns del "$id-ana"
    exit 77
fi

cargo build --locked -q --profile "$profile" -p lanai --bin lanai --example stranger
bin=$PWD/target/$out/lanai
stranger=$PWD/target/$out/examples/stranger
lanai() { local h=$1; shift; LANAI_HOME=$work/$h ip netns exec "$id-$h" "$bin" --no-pager --quiet "$@"; }
trap clean EXIT

ip link set "$id-br" up
n=1
for h in "${hosts[@]}"; do
    [ "$h" = ana ] || ip netns add "$id-$h"
    ip link add "$id-$h" type veth peer name eth0 netns "$id-$h"
    ip link set "$id-$h" master "$id-br" up
    ip -n "$id-$h" addr add "10.77.0.$n/24" dev eth0
    ip -n "$id-$h" link set lo up
    ip -n "$id-$h" link set eth0 up
    n=$((n + 1))
done

# The value of a string or number field that occurs once in a JSON answer.
field() { grep -o "\"$1\": *\"\?[^\",}]*" | head -n 1 | sed 's/.*: *"\?//'; }
hash_of() { lanai "$1" status --json | field state_hash; }

# Waits until all named hosts show one state hash; prints the seconds it took.
await_equal() {
    local limit=$1 start=$SECONDS first h; shift
    while :; do
        first=$(hash_of "$1")
        local equal=1
        for h in "$@"; do [ "$(hash_of "$h")" = "$first" ] || equal=0; done
        [ "$equal" = 1 ] && [ -n "$first" ] && { echo $((SECONDS - start)); return; }
        if [ $((SECONDS - start)) -ge "$limit" ]; then
            for h in "$@"; do echo "--- $h"; lanai "$h" status || true; done >&2
            fail "not equal after ${limit}s: $*"
        fi
    done
}

say "three unrelated nodes announce themselves on the bridge"
for _ in 1 2 3; do
    ip netns exec "$id-x" "$stranger" --mdns --seconds 3600 >/dev/null 2>&1 &
    pids+=($!)
done

say "Ana founds and imports $(basename "$archive")"
lanai ana up --name Ana --community "The Porch" >/dev/null
lanai ana import mbox "$archive" 2>&1 | tail -n 3
ticket=$(lanai ana invite --uses 2 --no-addresses --json | field ticket)
[ -n "$ticket" ] || fail "no ticket"

say "Ben joins by mDNS alone"
lanai ben join "$ticket" --name Ben >/dev/null || fail "Ben could not join"
lanai ben up >/dev/null
say "Ben holds everything after $(await_equal 60 ana ben)s"

say "Ana's node stops; Cleo joins through Ben"
lanai ana node stop >/dev/null
lanai cleo join "$ticket" --name Cleo >/dev/null || fail "Cleo could not join"
lanai cleo up >/dev/null
say "Cleo holds everything after $(await_equal 60 ben cleo)s"
[ "$(lanai cleo status --json | field posts)" = "$(lanai ana status --json | field posts)" ] ||
    fail "Cleo has not got all posts"
lanai ana up >/dev/null
await_equal 60 ana ben cleo >/dev/null

ask=$(lanai ana ask "Who has crossed the ford at night?" -m "We go on Friday." --json | field id)
await_equal 30 ana ben cleo >/dev/null

for cut in $cuts; do
    say "all links down for ${cut}s"
    for h in ana ben cleo; do ip link set "$id-$h" down; done
    start=$SECONDS
    for h in ana ben cleo; do
        reply=$(lanai "$h" reply "$ask" -m "$h writes while alone, cut $cut" --json | field id)
        lanai "$h" edit "$reply" -m "$h wrote while alone, cut $cut, and mended it" >/dev/null
        lanai "$h" react "$ask" been-there >/dev/null
    done
    [ "$(hash_of ana)" != "$(hash_of ben)" ] || fail "equal while cut off"
    while [ $((SECONDS - start)) -lt "$cut" ]; do sleep 0.2; done
    for h in ana ben cleo; do ip link set "$id-$h" up; done
    say "links are back; equal after $(await_equal 10 ana ben cleo)s"
    for h in ana ben cleo; do lanai "$h" read "$ask" --json >"$work/$h.json"; done
    for h in ben cleo; do
        [ "$(grep -o '"text": *"[^"]*"' "$work/ana.json" | sort)" = "$(grep -o '"text": *"[^"]*"' "$work/$h.json" | sort)" ] ||
            fail "$h shows another thread than ana"
    done
    for h in ana ben cleo; do
        grep -q "$h wrote while alone, cut $cut, and mended it" "$work/ben.json" || fail "$h's edit is missing"
    done
done

say "ok"

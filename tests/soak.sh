#!/usr/bin/env bash
# A long storm over six nodes on one bridge: what sleeps, moves, breaks and dies comes together again,
# no node is started again because it would not, and memory stays flat.
#
#   tests/soak.sh [MINUTES [SEED]]          default: 4 minutes, seed 1; by hand: 60
#
# One trouble at a time befalls each host, drawn from the seed:
#
#   sleep    the process is stopped (SIGSTOP) for up to 90 s, half of the times off the network too
#   address  it gets another address, as in another network
#   down     its cable is out for up to 40 s
#   deaf     it sends, and nothing reaches it: a half-open link
#   mute     what it sends to one other host is lost on the way, and the other's packets arrive
#   kill     kill -9, and started again after up to 20 s; never Ana and Ben, whose memory is watched
#
# while members write through the command line, wherever somebody is awake. After each storm all troubles end and
# every node has to show the same state hash within the deadline. At the end every post that was
# acknowledged is on every node.
#
# Ana brings along an archive first: the caches of a new store fill while it grows, and would look like a
# leak.
#
# The order of what happens comes from the seed; when it happens is real time. Needs root, `ip` and `bridge`
# (iproute2) to make network namespaces; exits with 77 where it cannot.
#   LANAI_TEST_BIN=FILE        this binary, instead of building one
#   LANAI_TEST_OUT=DIR         where tables and logs go and stay (default: a directory that goes away)
#   LANAI_TEST_ARCHIVE=20000   messages of the archive
#   LANAI_TEST_STORM=100       seconds of a storm
#   LANAI_TEST_DEADLINE=60     seconds until all are equal after one
#   LANAI_TEST_PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-4}
seed=${2:-1}
archive=${LANAI_TEST_ARCHIVE:-20000}
storm=${LANAI_TEST_STORM:-100}
deadline=${LANAI_TEST_DEADLINE:-60}
profile=${LANAI_TEST_PROFILE:-dev}
[ "$profile" = dev ] && out=debug || out=$profile

say() { printf '%6ss  %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED at %ss: %s\n' "$SECONDS" "$*" >&2; exit 1; }

id="ls$$"
work=$(mktemp -d)
kept=${LANAI_TEST_OUT:-$work/out}
mkdir -p "$kept"
hosts=(ana ben cleo dov eve fay)
declare -A pid address trouble until other starts

clean() {
    local h
    for h in "${hosts[@]}"; do
        [ -z "${pid[$h]:-}" ] || kill -CONT "${pid[$h]}" 2>/dev/null || true
        [ -z "${pid[$h]:-}" ] || kill "${pid[$h]}" 2>/dev/null || true
        [ ! -d "$work/$h" ] || lanai "$h" node stop >/dev/null 2>&1 || true
    done
    for h in "${hosts[@]}"; do ip netns del "$id-$h" 2>/dev/null || true; done
    ip link del "$id-br" 2>/dev/null || true
    rm -rf "$work"
}

command -v ip >/dev/null 2>&1 && command -v bridge >/dev/null 2>&1 || exit 77
ip netns add "$id-ana" 2>/dev/null || exit 77
if ! ip link add "$id-br" type bridge 2>/dev/null; then
    ip netns del "$id-ana"
    exit 77
fi
trap clean EXIT
trap 'exit 130' INT TERM

bin=${LANAI_TEST_BIN:-}
if [ -z "$bin" ]; then
    cargo build --locked -q --profile "$profile" -p lanai --bin lanai
    bin=$PWD/target/$out/lanai
fi
# Where a stopped node is asked something, nobody waits for ever.
lanai() {
    local h=$1; shift
    LANAI_HOME=$work/$h timeout 60 ip netns exec "$id-$h" "$bin" --no-pager --quiet "$@"
}

ip link set "$id-br" up
subnet=10.78
next_address=1
# Gives a host an address that nobody had before.
move() {
    local h=$1
    ip -n "$id-$h" -4 addr flush dev eth0
    address[$h]=$subnet.$((next_address / 250)).$((next_address % 250 + 1))
    next_address=$((next_address + 1))
    ip -n "$id-$h" addr add "${address[$h]}/16" dev eth0
}
for h in "${hosts[@]}"; do
    [ "$h" = ana ] || ip netns add "$id-$h"
    ip link add "$id-$h" type veth peer name eth0 netns "$id-$h"
    ip link set "$id-$h" master "$id-br" up
    # Half-open by IPv4 is half-open: no second way over IPv6.
    ip netns exec "$id-$h" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null || true
    ip -n "$id-$h" link set lo up
    ip -n "$id-$h" link set eth0 up
    move "$h"
    trouble[$h]=none starts[$h]=0
done

# The value of a string or number field that occurs once in a JSON answer.
field() { grep -o "\"$1\": *\"\?[^\",}]*" | head -n 1 | sed 's/.*: *"\?//'; }
hash_of() { lanai "$1" status --json 2>/dev/null | field state_hash; }

start() {
    local h=$1
    LANAI_HOME=$work/$h LANAI_LOG=${LANAI_LOG:-warn,lanai_node=info,lanai_cli=info} \
        ip netns exec "$id-$h" "$bin" node run </dev/null >>"$kept/$h.log" 2>&1 &
    pid[$h]=$!
    starts[$h]=$((starts[$h] + 1))
}

# Gives a number below $2 in the variable $1. No subshell: it would draw from a copy of the sequence.
RANDOM=$seed
below() { printf -v "$1" %d $(((RANDOM * 32768 + RANDOM) % $2)); }

port() { bridge link set dev "$id-$1" learning "$2" flood "$2" mcast_flood "$2" bcast_flood "$2"; }

mend() {
    local h=$1
    case ${trouble[$h]} in
    sleep)
        ip link set "$id-$h" up
        kill -CONT "${pid[$h]}"
        ;;
    down) ip link set "$id-$h" up ;;
    deaf) port "$h" on ;;
    mute) ip -n "$id-$h" neigh del "${other[$h]}" dev eth0 2>/dev/null || true ;;
    kill) start "$h" ;;
    esac
    trouble[$h]=none
}

befall() {
    local h kind seconds n
    below n ${#hosts[@]}; h=${hosts[$n]}
    [ "${trouble[$h]}" = none ] || return 0
    below kind 100
    case $kind in
    [0-9] | 1[0-9]) kind=sleep; below seconds 90 ;;
    2[0-9] | 3[0-9]) kind=address; seconds=0 ;;
    4[0-9] | 5[0-4]) kind=down; below seconds 40 ;;
    5[5-9] | 6[0-9]) kind=deaf; below seconds 60 ;;
    7[0-9] | 8[0-4]) kind=mute; below seconds 60 ;;
    *) kind=kill; below seconds 20 ;;
    esac
    [ "$kind" = kill ] && [ "$n" -lt 2 ] && kind=address
    below n 100
    case $kind in
    sleep)
        [ "$n" -lt 50 ] && ip link set "$id-$h" down
        kill -STOP "${pid[$h]}"
        ;;
    address) move "$h" ;;
    down) ip link set "$id-$h" down ;;
    deaf)
        port "$h" off
        # The bridge forgets where it was.
        ip link set "$id-$h" type bridge_slave fdb_flush
        ;;
    mute)
        other[$h]=${address[${hosts[$((n % ${#hosts[@]}))]}]}
        if [ "${other[$h]}" = "${address[$h]}" ]; then return 0; fi
        ip -n "$id-$h" neigh replace "${other[$h]}" lladdr 02:00:00:00:00:fe dev eth0 nud permanent
        ;;
    kill)
        kill -9 "${pid[$h]}"
        # Its last word is not for the terminal.
        wait "${pid[$h]}" 2>/dev/null || true
        ;;
    esac
    happened[$kind]=$((${happened[$kind]:-0} + 1))
    [ "$kind" = address ] && return 0
    trouble[$h]=$kind
    until[$h]=$((SECONDS + 2 + seconds))
}
declare -A happened

wrote=0
asks=()
write() {
    local n h new=0 answer code=0
    below n ${#hosts[@]}; h=${hosts[$n]}
    # Nobody types on a machine that sleeps.
    [ "${trouble[$h]}" = sleep ] && return 0
    below n 100
    [ ${#asks[@]} -eq 0 ] || [ "$n" -lt 4 ] && new=1
    if [ "$new" = 1 ]; then
        answer=$(lanai "$h" ask "Question $wrote by $h" -m "What is to be done about $wrote?" --json 2>"$work/said") || code=$?
    else
        below n ${#asks[@]}
        answer=$(lanai "$h" reply "${asks[$n]}" -m "Reply $wrote by $h: $RANDOM $RANDOM $RANDOM" --json 2>"$work/said") || code=$?
        # It has not got that thread yet.
        [ "$code" = 3 ] && return 0
    fi
    [ "$code" = 0 ] || fail "$h cannot write (exit $code): $answer $(cat "$work/said")"
    answer=$(field id <<<"$answer")
    [ -n "$answer" ] || fail "$h wrote and was given no id"
    [ "$new" = 0 ] || asks+=("$answer")
    echo "$answer" >>"$work/written"
    wrote=$((wrote + 1))
}

table=$kept/memory.tsv
printf 'second\thost\tstart\trss_kib\tanon_kib\tfiles\tthreads\tposts\n' >"$table"
sample() {
    local h p
    for h in "${hosts[@]}"; do
        p=${pid[$h]}
        [ "${trouble[$h]}" = kill ] && continue
        printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$SECONDS" "$h" "${starts[$h]}" \
            "$(awk '/^VmRSS/ {r = $2} /^RssAnon/ {a = $2} END {print r "\t" a}' "/proc/$p/status")" \
            "$(find "/proc/$p/fd" -mindepth 1 2>/dev/null | wc -l)" \
            "$(awk '/^Threads/ {print $2}' "/proc/$p/status")" "$wrote" >>"$table"
    done
}

alive() {
    local h
    for h in "${hosts[@]}"; do
        [ -n "${pid[$h]:-}" ] || continue
        [ "${trouble[$h]}" = kill ] || kill -0 "${pid[$h]}" 2>/dev/null ||
            fail "$h's node ended by itself: $(tail -n 3 "$kept/$h.log")"
    done
}

# Waits until all show one state hash.
await_equal() {
    local begun=$SECONDS first h equal
    while :; do
        alive
        first=$(hash_of ana) equal=1
        for h in "${hosts[@]}"; do
            [ "$(hash_of "$h")" = "$first" ] || { equal=0; break; }
        done
        [ "$equal" = 1 ] && [ -n "$first" ] && { took=$((SECONDS - begun)); return; }
        if [ $((SECONDS - begun)) -ge "$deadline" ]; then
            for h in "${hosts[@]}"; do
                echo "--- $h ${address[$h]}"
                lanai "$h" status || true
                tail -n 15 "$kept/$h.log"
            done >&2
            fail "not equal ${deadline}s after everything was mended"
        fi
        sleep 0.5
    done
}

# Messages of forty words, twenty to a thread, each word from a vocabulary of its own.
messages() {
    awk -v n="$archive" -v seed="$seed" '
        function word(   k) { k = int(rand() * rand() * 4000); return sprintf("w%c%c%d", 97 + k % 26, 97 + k % 19, k) }
        BEGIN {
            srand(seed)
            for (i = 0; i < n; i++) {
                first = i - i % 20
                printf "From a Mon Jan  1 00:00:00 2020\nFrom: M%d <m%d@example.org>\n", i % 40, i % 40
                printf "Date: Wed, %d Jan 2020 %02d:%02d:%02d +0000\n", i / 3600 / 24 + 1, i / 3600 % 24, i / 60 % 60, i % 60
                printf "Message-ID: <%d@example.org>\n", i
                if (i != first) printf "In-Reply-To: <%d@example.org>\n", first
                printf "Subject: %sAbout %d\n\n", i == first ? "" : "Re: ", first
                for (w = 0; w < 40; w++) printf "%s ", word()
                printf "\n\n"
            }
        }'
}

say "Ana founds; five come in"
lanai ana init --name Ana --community "The Porch" --no-phrase >/dev/null 2>"$work/said" || fail "$(cat "$work/said")"
start ana
until lanai ana node status >/dev/null 2>&1; do sleep 0.1; alive; done
ticket=$(lanai ana invite --uses 5 --no-addresses --json | field ticket)
[ -n "$ticket" ] || fail "no ticket"
for h in "${hosts[@]:1}"; do
    lanai "$h" join "$ticket" --name "${h^}" --no-phrase >/dev/null 2>"$work/said" || fail "$h could not join: $(cat "$work/said")"
    # It runs in the background now; here it is run as a child, to be stopped and killed.
    lanai "$h" node stop >/dev/null
    start "$h"
done
if [ "$archive" -gt 0 ]; then
    messages >"$work/archive.mbox"
    lanai ana import mbox "$work/archive.mbox" >/dev/null 2>"$work/said" || fail "Ana cannot import: $(cat "$work/said")"
    rm "$work/archive.mbox"
fi
write
brought=$(($(lanai ana status --json | field posts) - wrote))
[ "$brought" = "$archive" ] || fail "Ana brought $brought messages of $archive"
deadline=$((deadline + archive / 200)) await_equal
# Everything that a node keeps in memory of a store of this size is wanted once.
for h in "${hosts[@]}"; do lanai "$h" search about >/dev/null; done
say "all equal after ${took}s; storms of ${storm}s for $minutes minutes, seed $seed"

checks=0 slowest=0 sampled=0
end=$((SECONDS + minutes * 60))
while [ "$SECONDS" -lt "$end" ]; do
    over=$((SECONDS + storm))
    while [ "$SECONDS" -lt "$over" ] && [ "$SECONDS" -lt "$end" ]; do
        for h in "${hosts[@]}"; do
            [ "${trouble[$h]}" = none ] || [ "${until[$h]}" -gt "$SECONDS" ] || mend "$h"
        done
        alive
        below n 100
        [ "$n" -ge 25 ] || befall
        [ "$n" -lt 25 ] || [ "$n" -ge 70 ] || write
        [ $((SECONDS - sampled)) -lt 20 ] || { sample; sampled=$SECONDS; }
        sleep 0.4
    done
    for h in "${hosts[@]}"; do [ "${trouble[$h]}" = none ] || mend "$h"; done
    await_equal
    checks=$((checks + 1))
    [ "$took" -le "$slowest" ] || slowest=$took
    say "check $checks: equal after ${took}s, $wrote posts"
done
sample

for h in "${hosts[@]}"; do
    [ "$(lanai "$h" status --json | field posts)" = $((brought + wrote)) ] ||
        fail "$h shows $(lanai "$h" status --json | field posts) posts of $((brought + wrote))"
    lanai "$h" store check >/dev/null || fail "$h's store is damaged"
    : >"$work/shown"
    for ask in "${asks[@]}"; do lanai "$h" read "$ask" --json >>"$work/shown"; done
    while read -r post; do
        grep -q "\"$post\"" "$work/shown" || fail "$h does not show $post"
    done <"$work/written"
done

say "what happened: $(for k in "${!happened[@]}"; do printf '%s %s, ' "$k" "${happened[$k]}"; done)$wrote posts in ${#asks[@]} threads"
say "$checks checks, all equal, the slowest after ${slowest}s; no node was started again but after a kill"

# Memory of those who were never killed: the line of least squares over the second half, and whether the
# median of the last quarter is near that of the second.
flat=1
for h in ana ben; do
    awk -F'\t' -v host=$h '$2 == host {print $1 "\t" $5 "\t" $4 "\t" $6}' "$table" >"$work/of"
    awk -F'\t' -v host=$h '
        function median(from, to,   i, n, copy) {
            n = 0
            for (i = from; i <= to; i++) copy[++n] = anon[i]
            return n ? sorted(copy, n) : 0
        }
        function sorted(a, n,   i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j - 1] > a[j]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
            return a[int((n + 1) / 2)]
        }
        { n++; second[n] = $1; anon[n] = $2; if ($3 > most) most = $3; if ($4 > files) files = $4 }
        END {
            for (i = int(n / 2) + 1; i <= n; i++) { m++; x += second[i]; y += anon[i]; xx += second[i] ^ 2; xy += second[i] * anon[i] }
            d = m * xx - x * x
            slope = d ? (m * xy - x * y) / d * 3600 : 0
            early = median(int(n / 4) + 1, int(n / 2)); late = median(int(3 * n / 4) + 1, n)
            printf "%s: private memory %d KiB in the second quarter, %d KiB in the last, %+d KiB an hour over the second half; most resident %d KiB, most open files %d\n", host, early, late, slope, most, files
            exit (n >= 40 && late > early * 1.25 && late > early + 8192)
        }' "$work/of" || flat=0
done
[ "$flat" = 1 ] || fail "memory grows; the table: $table"
say "ok"

#!/usr/bin/env bash
# A disk that fills up, and then has room again: an import and a running node on a file system of 3 MB.
#
#   Ben's import stops with a clear error, his store is sound, and after room was made the same
#   command goes on. Cleo's node fills its disk while it syncs from Ben, goes on running and answering,
#   and has everything soon after room was made, without being started again.
#
# Needs a mount namespace (root, or user namespaces for everybody); exits with 77 where it has none.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" != inside ]; then
    command -v unshare >/dev/null 2>&1 || exit 77
    unshare -m true 2>/dev/null && exec unshare -m "$0" inside
    unshare -rm true 2>/dev/null && exec unshare -rm "$0" inside
    exit 77
fi

say() { printf '%6ss  %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
field() { grep -o "\"$1\": *\"\?[^\",}]*" | head -n 1 | sed 's/.*: *"\?//'; }

work=$(mktemp -d)
small=$work/small
mkdir "$small"
mount -t tmpfs -o size=3m lanai "$small" 2>/dev/null || { rm -rf "$work"; exit 77; }
room() { mount -o "remount,size=$1" "$small"; }

cargo build --locked -q -p lanai --bin lanai
bin=$PWD/target/debug/lanai
lanai() { local home=$1; shift; LANAI_HOME=$home "$bin" --no-pager --quiet "$@"; }
clean() {
    for home in "$work/ben" "$small/cleo"; do lanai "$home" node stop >/dev/null 2>&1 || true; done
    umount "$small" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

archive=$work/archive.mbox
for i in $(seq 1 1500); do
    printf 'From x Mon Nov  2 00:00:00 1998\nFrom: a@b.c\nMessage-ID: <%d@b.c>\nSubject: report %d\n\n' "$i" "$i"
    head -c 1500 /dev/urandom | base64 -w 70
    echo
done >"$archive"

say "Ben's import meets a full disk"
lanai "$small/ben" init --name Ben --community "The Porch" >/dev/null
if lanai "$small/ben" import mbox "$archive" >/dev/null 2>"$work/said"; then
    fail "1,500 posts found room in 3 MB"
fi
grep -q "the disk is full" "$work/said" || fail "it did not say so: $(cat "$work/said")"
grep -q "the same command goes on" "$work/said" || fail "it did not say what to do: $(cat "$work/said")"
lanai "$small/ben" store check >/dev/null || fail "the store is damaged"
room 64m
lanai "$small/ben" import mbox "$archive" >/dev/null
[ "$(lanai "$small/ben" status --json | field posts)" = 1500 ] || fail "posts are missing"
lanai "$small/ben" store check >/dev/null || fail "the store is damaged"

say "Cleo's disk fills up while her node syncs"
mv "$small/ben" "$work/ben"
room 3m
lanai "$work/ben" up >/dev/null 2>&1
ticket=$(lanai "$work/ben" invite --json | field ticket)
lanai "$small/cleo" join "$ticket" --name Cleo >/dev/null
lanai "$small/cleo" up >/dev/null
start=$SECONDS
until grep -q "the disk is full" <(lanai "$small/cleo" node logs); do
    if [ $((SECONDS - start)) -gt 60 ]; then
        df -k "$small" >&2
        lanai "$small/cleo" status >&2
        lanai "$small/cleo" node logs >&2
        fail "the disk did not fill up"
    fi
done
lanai "$small/cleo" status >/dev/null || fail "the node does not answer"
grep -q "running" <(lanai "$small/cleo" status) || fail "the node stopped"

say "there is room again"
room 64m
start=$SECONDS
until [ "$(lanai "$work/ben" status --json | field state_hash)" = \
        "$(lanai "$small/cleo" status --json | field state_hash)" ]; do
    if [ $((SECONDS - start)) -gt 60 ]; then
        lanai "$small/cleo" status >&2
        lanai "$small/cleo" node logs >&2
        fail "not equal after 60 s"
    fi
done
lanai "$small/cleo" store check >/dev/null || fail "the store is damaged"
say "equal after $((SECONDS - start))s"
say "ok"

#!/bin/sh
# Fill every free seat, see what the next one is told, and that a freed seat is given out again.
. "$(dirname "$0")/lib/check.sh"

get "$BASE/api/session"
want 200 "/api/session"
max=$(seats max)
taken=$(seats taken)
echo "  $taken of $max seats are taken"
[ "${max:-0}" -gt 0 ] || fail "no seats in: $(cat "$TMP/body")"
[ "$max" -le 50 ] || skip "$max seats are too many to fill by hand"

# Each with a User-Agent and cookies of its own, so each is a session of its own. Whatever happens, they leave again.
leave() {
    for jar in "$TMP"/jar.*; do
        [ -e "$jar" ] && curl -q -s -m 5 --noproxy '*' -b "$jar" -X POST -o /dev/null "$BASE/api/logout"
    done
    rm -rf "$TMP"
}
trap leave EXIT

n=0
while :; do
    n=$((n + 1))
    [ $n -le $((max + 1)) ] || fail "the ${n}th newcomer still got in at a house of $max seats"
    get -A "newcomer $n" -c "$TMP/jar.$n" "$BASE/"
    case $STATUS in
    200) ;;
    503) break ;;
    *) fail "newcomer $n got $STATUS: $(head -c 300 "$TMP/body")" ;;
    esac
done
rm -f "$TMP/jar.$n"
ok "$((n - 1)) came in, number $n is refused: 503"
want_header Retry-After '[0-9]*'
want_body '"error":"full"' "for curl as JSON"

get -A "newcomer $n" -H 'Accept: text/html' "$BASE/"
want 503 "for a browser"
want_header Content-Type 'text/html*'
want_body "$USER_NAME" "as a page that says who is on"

get -A "newcomer $n" "$BASE/api/roster"
want 200 "the roster can still be read"

[ "$n" -gt 1 ] || skip "all seats were taken by others: nothing to free"
curl -q -sS -m 5 --noproxy '*' -b "$TMP/jar.1" -X POST -o /dev/null "$BASE/api/logout" || fail "logout failed"
rm -f "$TMP/jar.1"
get -A "newcomer $n" -c "$TMP/jar.$n" "$BASE/"
want 200 "one leaves, and the next gets in"

#!/bin/sh
# A device made of nothing but a shell that can open a socket (bash), and curl to command it. DEVICES is the server's
# device listener, HOST:PORT; TOKEN the token of the device `check-device`, if the server asks for one.
. "$(dirname "$0")/lib/check.sh"

[ -n "${DEVICES:-}" ] || skip "set DEVICES=HOST:PORT to the server's device listener (devices.listen)"
bash -c ':' 2>/dev/null || skip "the device needs bash, for /dev/tcp"
name=check-device

# Says what comes through a pipe, answers pings and commands, writes down everything it hears.
cat >"$TMP/device" <<'EOF'
exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
cat "$2/say" >&3 &
trap 'kill $!' EXIT
while read -r line <&3; do
    echo "$line" >>"$2/heard"
    case $line in
    '{"ping":'*) echo "{\"pong\":${line#*:}" >&3 ;;
    '{"command":'*) id=${line#*'"id":"'} && echo "{\"answer\":\"${id%%'"'*}\",\"ok\":true,\"result\":\"done\"}" >&3 ;;
    esac
done
echo ended >>"$2/heard"
EOF
leave() {
    for pid in ${devices:-}; do kill "$pid" 2>/dev/null; done
    rm -rf "$TMP"
}
trap leave EXIT

# `attach DIR`: one more device, which keeps its pipe and what it hears there.
attach() {
    { mkdir "$TMP/$1" && mkfifo "$TMP/$1/say" && : >"$TMP/$1/heard"; } || fail "no pipe"
    bash "$TMP/device" "$DEVICES" "$TMP/$1" &
    devices="${devices:-} $!"
}
# `hears DIR PATTERN WHAT`: it has heard that, or hears it within 5 s.
hears() {
    n=0
    until grep -q -- "$2" "$TMP/$1/heard"; do
        n=$((n + 1))
        [ $n -le 50 ] || fail "$3: no $2 in: $(grep -v '"ping"' "$TMP/$1/heard" | tail -n 5)"
        sleep 0.1
    done
    ok "$3"
}
post() { get -H 'Content-Type: application/json' -d "$2" "$BASE/api/devices/$name/$1"; }

hello='{"hello":"'$name'","token":"'${TOKEN:-}'","describe":{"commands":{"speed":{"args":{"rpm":{"type":"number","min":0,"max":3000}}},"stop":{"anyone":true}},"telemetry":{"rpm":"1/min"}}}'
attach one
exec 4<>"$TMP/one/say"
echo "$hello" >&4
hears one "{\"welcome\":\"$name\"" "it says hello and is welcome"
hears one '{"control":{"holder":null}}' "and nobody holds it"
hears one '{"ping":' "the server asks whether it is there"
echo '{"telemetry":{"rpm":1200}}' >&4
echo '{"ping":7}' >&4
hears one '{"pong":7}' "and answers when it is asked"
get "$BASE/api/devices"
want_body "\"name\":\"$name\",\"state\":\"up\"" "everybody sees it"
want_body '"telemetry":{"rpm":1200}' "and what it measures"

post command '{"command":"speed","args":{"rpm":900}}'
want 409 "a command without control"
post control '{"action":"take"}'
want 422 "control for curl needs a lease"
post control '{"action":"take","lease":"2s"}'
want 200 "control with a lease"
hears one "{\"control\":{\"holder\":\"$USER_NAME\"}}" "the device hears who has it"
post command '{"command":"speed","args":{"rpm":9000}}'
want 422 "too fast"
post 'command?wait=5s' '{"command":"speed","args":{"rpm":900}}'
want 200 "a command, and its answer"
want_body '"ok":true,"result":"done"' "which is the device's own"
hears one '{"command":"speed","args":{"rpm":900},' "it was asked once it was allowed"

echo 'what?' >&4
hears one '{"error":"json"' "a line that makes no sense is told so"
hears one '{"safe":"lease"' "the lease runs out, and the device goes to its safe state"
post 'command?wait=5s' '{"command":"stop"}'
want 200 "an emergency stop is anybody's"

attach two
exec 5<>"$TMP/two/say"
echo "$hello" >&5
hears two '{"welcome":' "the device comes again"
hears one '{"bye":"replaced"}' "and its older link is told"
hears one ended "and closed"
echo '{"bye":"done for today"}' >&5
hears two ended "it says goodbye"
get "$BASE/api/devices"
want_body "\"name\":\"$name\",\"state\":\"down\"" "and is down"

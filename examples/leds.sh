#!/bin/sh
# A device in shell: the LEDs of the board, each a command and a value. It knows nothing of the network; that is the
# business of `boatswain link`, which starts it:
#
#     boatswain link --server 192.168.1.10:7070 --name leds -- ./leds.sh [FOLDER]
#
# FOLDER holds one folder an LED, with `brightness` and `max_brightness` in it, as the kernel's /sys/class/leds does.
# Lines come in on standard input and go out on standard output, one JSON object each: docs/link.md.
leds=${1:-/sys/class/leds}

# Names go into JSON and into file names: only harmless ones.
names=$(cd "$leds" && for led in *; do
    case $led in *[!A-Za-z0-9_:.-]*) ;; *) [ -w "$led/brightness" ] && echo "$led" ;; esac
done)
[ -n "$names" ] || { echo "no LED that can be set in $leds; try it as root" >&2; exit 1; }

level() { cat "$leds/$1/brightness"; }

# Not set by percent: an LED that can only be on or off has a maximum of 1.
set_led() { echo "$2" >"$leds/$1/brightness" 2>/dev/null; }

all_off() { for led in $names; do set_led "$led" 0; done; }

# `"name":value,` for each LED, where value is what the function $1 says of it.
each() { list=; for led in $names; do list="$list,\"$led\":$($1 "$led")"; done; echo "${list#,}"; }

choice() { echo '""'; }
brightness_of() { echo "{\"type\":\"integer\",\"min\":0,\"max\":$(cat "$leds/$1/max_brightness")}"; }
telemetry() { echo "{\"telemetry\":{$(each level)}}"; }

# What stands behind "$2": in the line $1: a number, a word or the text of a string. Good enough for lines that the server
# has checked against our description; the id is given out by the server, and texts of people are in no place that is
# looked at.
field() {
    rest=${1#*"\"$2\":"}
    [ "$rest" != "$1" ] || return 1
    case $rest in
    '"'*) rest=${rest#'"'} && echo "${rest%%'"'*}" ;;
    *) echo "${rest%%[,\}]*}" ;;
    esac
}

choices=$(for led in $names; do printf ',"%s"' "$led"; done)
max=$(for led in $names; do cat "$leds/$led/max_brightness"; done | sort -n | tail -1)
echo "{\"describe\":{\"commands\":{\"set\":{\"args\":{\"led\":{\"type\":\"string\",\"choices\":[${choices#,}]},\"to\":{\"type\":\"integer\",\"min\":0,\"max\":$max}}},\"dark\":{\"anyone\":true}},\"telemetry\":{$(each choice)}}}"

# The safe state of a lamp is dark: when we end, for whatever reason, and at the start, since nobody knows what was before.
# If `boatswain link` is killed, the next echo finds nobody: without the second trap the shell would end there, lit.
trap 'all_off; exit 0' TERM INT
trap '' PIPE
all_off
telemetry

while read -r line; do
    case $line in
    '{"ping":'*)
        echo "{\"pong\":$(field "$line" ping)}"
        ;;
    '{"command":'*)
        id=$(field "$line" id)
        ok=true
        case $(field "$line" command) in
        set) set_led "$(field "$line" led)" "$(field "$line" to)" || ok=false ;;
        dark) all_off ;;
        *) ok=false ;;
        esac
        echo "{\"answer\":\"$id\",\"ok\":$ok}"
        telemetry
        ;;
    '{"safe":'* | '{"link":"down"'*)
        all_off
        telemetry
        ;;
    '{"link":"up"'*)
        telemetry
        ;;
    esac
done

# The end of the input: `boatswain link` is gone.
all_off

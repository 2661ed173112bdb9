#!/bin/sh
# CPU and system calls per request: a 1 KB page over keep-alive connections, boatswain (with Basic credentials in every
# request) beside nginx and lighttpd (without any) in the same run, in alternating rounds. Both as Debian sets them up: nginx
# with tcp_nopush and its access log, lighttpd without a log.
#
#   bench/http.sh              ROUNDS=9 SECONDS_EACH=2 CONNECTIONS=10
#
# The server runs on core 0, the load (wrk) on core 1. Ratios are of one round each, and the middle one counts: what else the
# machine does falls on all three. Single numbers mean little on a busy machine. System calls under load are counted with
# 100 connections.
. "$(dirname "$0")/lib.sh"
need nginx lighttpd wrk strace taskset curl
ROUNDS=${ROUNDS:-9} SECONDS_EACH=${SECONDS_EACH:-2} CONNECTIONS=${CONNECTIONS:-10}

mkdir "$OUT/www"
{ echo '<!doctype html><title>1 KB</title><p>'; head -c 1024 /dev/zero | tr '\0' x; } | head -c 1024 >"$OUT/www/index.html"
chmod -R a+rX "$OUT"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
wait_port() { i=0; until curl -q -s -o /dev/null --noproxy '*' "http://127.0.0.1:$1/"; do i=$((i + 1)); [ $i -lt 100 ] || { echo "nothing at port $1" >&2; exit 1; }; sleep 0.05; done; }

boatswain_start "www = \"$OUT/www\"
[limits]
connections = 1000
per_address = 1000"
# shellcheck disable=SC2153 # set by boatswain_start
B_PORT=$PORT B_PID=$SERVER

N_PORT=$(free_port)
cat >"$OUT/nginx.conf" <<CONF
worker_processes 1; daemon off; pid $OUT/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http { access_log $OUT/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_body_temp_path $OUT/n1; proxy_temp_path $OUT/n2; fastcgi_temp_path $OUT/n3; uwsgi_temp_path $OUT/n4; scgi_temp_path $OUT/n5;
  types { text/html html; } server { listen 127.0.0.1:$N_PORT; root $OUT/www; } }
CONF
taskset -c "$SERVER_CORE" nginx -c "$OUT/nginx.conf" -e /dev/null & N_MASTER=$!
STARTED="$STARTED $N_MASTER"
wait_port "$N_PORT"
N_PID=$(cat /proc/$N_MASTER/task/$N_MASTER/children | awk '{ print $1 }')

L_PORT=$(free_port)
cat >"$OUT/lighttpd.conf" <<CONF
server.document-root = "$OUT/www"
server.port = $L_PORT
server.bind = "127.0.0.1"
server.errorlog = "/dev/null"
server.max-keep-alive-requests = 1000000000
server.max-connections = 1000
index-file.names = ( "index.html" )
mimetype.assign = ( ".html" => "text/html" )
CONF
taskset -c "$SERVER_CORE" lighttpd -D -f "$OUT/lighttpd.conf" 2>/dev/null & L_PID=$!
STARTED="$STARTED $L_PID"
wait_port "$L_PORT"

load() { # PORT SECONDS [HEADER]: prints the requests that were answered
    taskset -c "$LOAD_CORE" wrk -t1 -c"$CONNECTIONS" -d"${2}s" ${3:+-H "$3"} "http://127.0.0.1:$1/index.html" >"$OUT/wrk"
    grep -q 'Non-2xx' "$OUT/wrk" && { echo "port $1 answered with errors:" >&2; cat "$OUT/wrk" >&2; exit 1; }
    sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$OUT/wrk"
}
round() { # NAME PID PORT [HEADER]: appends "us requests"
    before=$(cpu_us "$2")
    n=$(load "$3" "$SECONDS_EACH" "${4:-}") || exit 1
    after=$(cpu_us "$2")
    awk -v us=$((after - before)) -v n="$n" 'BEGIN { printf "%.3f\n", us / n }' >>"$OUT/$1.us"
}
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

for port in $B_PORT $N_PORT $L_PORT; do load "$port" 1 "$AUTH_HEADER" >/dev/null; done
r=0
while [ $r -lt "$ROUNDS" ]; do
    round boatswain "$B_PID" "$B_PORT" "$AUTH_HEADER"
    round nginx "$N_PID" "$N_PORT"
    round lighttpd "$L_PID" "$L_PORT"
    r=$((r + 1))
done

calls() { # PID COMMAND...: system calls per request while COMMAND runs; COMMAND prints the number of requests
    pid=$1; shift
    strace -f -c -S calls -U calls,name -o "$OUT/strace" -p "$pid" 2>/dev/null & tracer=$!
    STARTED="$STARTED $tracer"
    tries=0
    until grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$pid/status"; do tries=$((tries + 1)); [ $tries -lt 100 ] || return 1; sleep 0.05; done
    n=$("$@")
    kill -INT $tracer; wait $tracer 2>/dev/null
    awk -v n="$n" '$1 ~ /^[0-9]+$/ && $2 != "total" { c += $1 } END { printf "%.2f\n", c / n }' "$OUT/strace"
}
one_at_a_time() { # PORT HEADER: 2000 requests over one connection, each after the answer to the one before
    python3 - "$1" "$2" <<'PY'
import socket, sys
port, header = int(sys.argv[1]), sys.argv[2]
s = socket.create_connection(("127.0.0.1", port))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
request = f"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1\r\n{header + chr(13) + chr(10) if header else ''}\r\n".encode()
n = 2000
for _ in range(n):
    s.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += s.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head
    while len(body) < 1024:
        body += s.recv(65536)
print(n)
PY
}
for name in boatswain nginx lighttpd; do
    case $name in
    boatswain) pid=$B_PID port=$B_PORT header=$AUTH_HEADER ;;
    nginx) pid=$N_PID port=$N_PORT header= ;;
    lighttpd) pid=$L_PID port=$L_PORT header= ;;
    esac
    calls "$pid" one_at_a_time "$port" "$header" >"$OUT/$name.one"
    CONNECTIONS=100 calls "$pid" load "$port" 2 "$header" >"$OUT/$name.many"
done

echo
echo "1 KB page, keep-alive, $CONNECTIONS connections, median of $ROUNDS rounds of $SECONDS_EACH s"
printf '%-10s %14s %22s %22s\n' '' 'CPU us/request' 'syscalls, one by one' 'syscalls, under load'
for name in boatswain nginx lighttpd; do
    printf '%-10s %14.2f %22s %22s\n' $name "$(median "$OUT/$name.us")" "$(cat "$OUT/$name.one")" "$(cat "$OUT/$name.many")"
done
beside_nginx() { # NAME: the middle one of the rounds' ratios
    paste "$OUT/$1.us" "$OUT/nginx.us" | awk '{ printf "%.4f\n", $1 / $2 }' >"$OUT/$1.ratio"
    printf '%.2f\n' "$(median "$OUT/$1.ratio")"
}
vn=$(beside_nginx boatswain) one=$(cat "$OUT/boatswain.one") many=$(cat "$OUT/boatswain.many")
echo
echo "CPU beside nginx       $vn   target 0.55  $(verdict "$vn" 0.55)"
echo "lighttpd beside nginx  $(beside_nginx lighttpd)   for comparison"
echo "syscalls one by one    $one   target 3     $(verdict "$one" 3.05)"
echo "syscalls under load    $many   target 2.5   $(verdict "$many" 2.5)"

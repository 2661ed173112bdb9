#!/bin/sh
# What it costs to be there: memory and wake-ups with nobody connected, CPU with 10 members and with 1000 links,
# memory per idle connection, size of the binary.
#
#   bench/rest.sh              SECONDS_EACH=20 LINKS=1000
. "$(dirname "$0")/lib.sh"
need python3 strace taskset
SECONDS_EACH=${SECONDS_EACH:-20} LINKS=${LINKS:-1000}
# shellcheck disable=SC3045 # a shell without it says so, and we go on to say the remedy
ulimit -n "$((LINKS + 200))" 2>/dev/null || { echo "cannot open $LINKS files: raise ulimit -n" >&2; exit 2; }

kb() { awk -v f="$2:" '$1 == f { print $2 }' "/proc/$1/smaps_rollup"; }
row() { printf '%-44s %10s   target %-8s %s\n' "$1" "$2" "$3" "$(verdict "${2%% *}" "$3")"; }

size=$(stat -Lc %s "$BIN")
row "binary, MB" "$(awk -v s="$size" 'BEGIN { printf "%.2f", s / 1e6 }')" 1.1

boatswain_start "[limits]
connections = $((LINKS + 100))
per_address = $((LINKS + 100))
[seats]
max = 20"
sleep 1 # its start is over; what follows is rest
row "RSS at rest, MB" "$(awk -v k="$(kb "$SERVER" Rss)" 'BEGIN { printf "%.2f", k / 1024 }')" 3.0
row "private dirty at rest, MB" "$(awk -v k="$(kb "$SERVER" Private_Dirty)" 'BEGIN { printf "%.2f", k / 1024 }')" 0.8

strace -f -o "$OUT/strace" -p "$SERVER" 2>/dev/null & tracer=$!
STARTED="$STARTED $tracer"
sleep 10
kill -INT $tracer; wait $tracer 2>/dev/null
# A call that strace finds begun and that never ends is the wait itself.
row "system calls in 10 s with nobody connected" "$(grep -c ' = ' "$OUT/strace")" 0

python3 - "$PORT" "$SERVER" "$SECONDS_EACH" "$LINKS" <<'PY'
import base64, glob, os, select, socket, sys, time
port, pid, seconds, many = (int(x) for x in sys.argv[1:])
auth = "Authorization: Basic " + base64.b64encode(b"bench:bench").decode()

def cpu_us():
    return sum(int(open(f).read().split()[0]) for f in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1000

def dirty():
    return sum(int(l.split()[1]) for l in open(f"/proc/{pid}/smaps_rollup") if l.startswith("Private_Dirty:")) * 1024

def row(what, value, target, form):
    print(f"{what:<44} {form.format(value):>10}   target {target:<8} {'ok' if value <= target else 'MISS'}")

def connect():
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s

def link(i, agent):
    s = connect()
    s.sendall(f"GET /api/events?tab=t{i}&n=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: {agent}\r\n{auth}\r\n\r\n".encode())
    head = s.recv(65536)
    assert b" 200 " in head.split(b"\r\n")[0], head[:300]
    return s

def share(sockets):
    """Percent of a core while these links are there and read by us."""
    poll = select.epoll()
    by_fd = {s.fileno(): s for s in sockets}
    for s in sockets:
        poll.register(s, select.EPOLLIN)
    def read(until):
        while (left := until - time.monotonic()) > 0:
            for fd, _ in poll.poll(left):
                if not by_fd[fd].recv(65536):
                    sys.exit("a link was closed by the server")
    read(time.monotonic() + 2)
    base, t0 = cpu_us(), time.monotonic()
    read(t0 + seconds)
    return (cpu_us() - base) / (time.monotonic() - t0) / 10000

members = [link(i, f"member {i}") for i in range(10)]
row("10 members, % of a core", share(members), 0.2, "{:.3f}")
crowd = [link(i, "crowd") for i in range(many)]
row(f"{many} links, % of a core", share(members + crowd), 4.0 * many / 1000, "{:.2f}")
for s in members + crowd:
    s.close()
time.sleep(5)  # their seats linger; then nothing is left

# Idle keep-alive connections: each has asked for one page. A first lot warms the allocator and the tables up.
def idle(n):
    held = []
    for _ in range(n):
        s = connect()
        s.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert s.recv(65536)
        held.append(s)
    return held
first = idle(min(50, many // 10))
before = dirty()
held = idle(many - len(first))
row("user memory per idle connection, bytes", (dirty() - before) / len(held), 2048, "{:.0f}")
PY

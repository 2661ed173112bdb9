#!/bin/sh
# What machines cost that say much: CPU time with DEVICES devices at 50 lines of telemetry a second each and 10 panels that
# see all of it; how old what a panel sees is; how long a command takes to its device; and the same with one more panel
# that does not read, which nobody else is to notice.
#
#   bench/machines.sh          SECONDS_EACH=20 DEVICES=64
. "$(dirname "$0")/lib.sh"
need python3 taskset
SECONDS_EACH=${SECONDS_EACH:-20} DEVICES=${DEVICES:-64}

boatswain_start "[seats]
max = 20
[devices]
listen = [\"127.0.0.1:0\"]
connections = $DEVICES"
DOOR=$(sed -n 's/.*listening addr=127.0.0.1:\([0-9]*\) kind=devices.*/\1/p' "$OUT/boatswain.log")

taskset -c "$LOAD_CORE" python3 - "$PORT" "$DOOR" "$SERVER" "$SECONDS_EACH" "$DEVICES" <<'PY'
import base64, glob, json, select, socket, sys, time
port, door, pid, seconds, many = (int(x) for x in sys.argv[1:])
auth = "Authorization: Basic " + base64.b64encode(b"bench:bench").decode()
PERIOD, PANELS, now = 0.02, 10, time.monotonic
missed = False

def cpu_us():
    return sum(int(open(f).read().split()[0]) for f in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1000

def dirty_kib():
    return sum(int(l.split()[1]) for l in open(f"/proc/{pid}/smaps_rollup") if l.startswith("Private_Dirty:"))

def row(what, value, target):
    global missed
    missed |= value > target
    print(f"{what:<60} {value:8.2f}   target {target:<6} {'ok' if value <= target else 'MISS'}")

def connect(to, small=False):
    s = socket.socket()
    if small:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", to))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s

def head(method, target, agent, more=""):
    return f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: {agent}\r\n{auth}\r\n{more}\r\n".encode()

class Device:
    def __init__(self, i):
        self.name, self.n, self.rest, self.s = f"m{i:02}", 0, b"", connect(door)
        self.due = now() + PERIOD * i / many
        hello = {"hello": self.name, "describe": {"commands": {"go": {}}, "telemetry": {"n": "", "at": "s"}}}
        self.s.sendall(json.dumps(hello).encode() + b"\n")

    def read(self):
        *lines, self.rest = (self.rest + self.s.recv(65536)).split(b"\n")
        for line in lines:
            if line.startswith(b'{"ping"'):
                self.s.sendall(b'{"pong":1}\n')
            elif line.startswith(b'{"command"'):
                took.append((now() - asked) * 1000)
                answer = {"answer": json.loads(line)["id"], "ok": True}
                self.s.sendall(json.dumps(answer).encode() + b"\n")

    def measure(self):
        self.n += 1
        self.due += PERIOD
        self.s.sendall(b'{"telemetry":{"n":%d,"at":%.6f}}\n' % (self.n, now()))

class Panel:
    def __init__(self, i, small=False):
        self.s, self.rest, self.newest = connect(port, small), b"", {}
        self.s.sendall(head("GET", f"/api/events?tab=t{i}&n=1", f"panel {i}"))

    def read(self):
        got = self.s.recv(1 << 20)
        if not got:
            sys.exit("a panel was closed by the server")
        *lines, self.rest = (self.rest + got).split(b"\n")
        for line in lines:
            told = json.loads(line[6:]) if line.startswith(b"data: ") else {}
            if told.get("type") == "telemetry":
                values = told["values"]
                if values["n"] < self.newest.get(told["device"], 0):
                    sys.exit("an old value came after a newer one")
                self.newest[told["device"]] = values["n"]
                ages.append((now() - values["at"]) * 1000)
                count[0] += 1

class Operator:
    """Holds every device by a lease, and commands one after the other."""
    def __init__(self):
        self.s, self.turn = connect(port), 0

    def post(self, target, body):
        body = json.dumps(body).encode()
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.s.sendall(head("POST", target, "operator", more) + body)

    def wait(self):
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}\n") and not answer.endswith(b"}"):
            answer += self.s.recv(65536)
        assert answer.split(b" ")[1][:1] == b"2", answer

    def take(self, device):
        self.post(f"/api/devices/{device.name}/control", {"action": "take", "lease": "60s"})
        self.wait()

    def command(self):
        global asked
        asked = now()
        self.turn += 1
        self.post(f"/api/devices/{devices[self.turn % many].name}/command", {"command": "go"})

ages, took, count, asked = [], [], [0], 0
devices = [Device(i) for i in range(many)]
panels = [Panel(i) for i in range(PANELS)]
operator = Operator()
for d in devices:
    operator.take(d)

def run(until):
    poll, by_fd = select.epoll(), {}
    for it in devices + panels + [operator]:
        by_fd[it.s.fileno()] = it
        poll.register(it.s, select.EPOLLIN)
    next_command = now() + 0.1
    while (t := now()) < until:
        for d in devices:
            if d.due <= t:
                d.measure()
        if t >= next_command:
            next_command += 0.1
            operator.command()
        for fd, _ in poll.poll(max(0, min(min(d.due for d in devices), next_command) - now())):
            it = by_fd[fd]
            operator.s.recv(65536) if it is operator else it.read()

def measure(what):
    run(now() + 2)
    ages.clear(), took.clear()
    count[0] = 0
    sent, base, memory, t0 = sum(d.n for d in devices), cpu_us(), dirty_kib(), now()
    run(t0 + seconds)
    passed = now() - t0
    share, lines = (cpu_us() - base) / passed / 10000, (sum(d.n for d in devices) - sent) / passed
    run(now() + 0.3)  # what is still on its way
    ages.sort(), took.sort()
    print(f"{what}: {lines:.0f} lines in, {count[0] / passed:.0f} messages out a second, {len(took)} commands")
    row("CPU, % of a core", share, 10)
    row("age of what panels see, ms, 99 of 100", ages[len(ages) * 99 // 100], 150)
    row("command to device, ms, 99 of 100", took[len(took) * 99 // 100], 50)
    row("memory that has grown, KiB", dirty_kib() - memory, 256)
    for p in panels:
        for d in devices:
            if d.n - p.newest.get(d.name, 0) > 15:
                sys.exit(f"{d.name} is at {d.n}, a panel at {p.newest.get(d.name)}")

measure(f"{many} devices, {PANELS} panels")
deaf = Panel(PANELS, small=True)
measure("with one more that does not read")
sys.exit(missed)
PY

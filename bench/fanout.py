#!/usr/bin/env python3
"""A chat message to N listening links: CPU and system calls per delivered message.

    bench/fanout.py PORT PID [--links 1000] [--messages 40] [--auth bench:bench] [--ws] [--strace]

--ws: the links are WebSockets (with pings answered, as browsers do), else SSE.

The server runs already, with room for N links and a high chat rate (bench/fanout.sh starts one so). Raw epoll, standard library only.
"""
import argparse, base64, glob, json, os, select, signal, socket, subprocess, sys, time


def cpu_us(pid):
    return sum(int(open(f).read().split()[0]) for f in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1000


def main():
    p = argparse.ArgumentParser()
    p.add_argument("port", type=int)
    p.add_argument("pid", type=int)
    p.add_argument("--links", type=int, default=1000)
    p.add_argument("--messages", type=int, default=40)
    p.add_argument("--auth", default="bench:bench")
    p.add_argument("--ws", action="store_true")
    p.add_argument("--strace", action="store_true")
    a = p.parse_args()
    auth = "Authorization: Basic " + base64.b64encode(a.auth.encode()).decode()
    host = f"127.0.0.1:{a.port}"

    def connect():
        s = socket.create_connection(("127.0.0.1", a.port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    kind, url, more, opened = "SSE", "/api/events", "", b" 200 "
    if a.ws:
        kind, url, opened = "WebSocket", "/api/socket", b" 101 "
        more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    mark, ping, pong = (b'"type":"said"', b"\x89\x00", b"\x8a\x80bnch") if a.ws else (b"event: said", None, None)
    poll, links, heard = select.epoll(), {}, {}
    for i in range(a.links):
        s = connect()
        s.sendall(f"GET {url}?types=said&tab=t{i}&n=1 HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n{more}{auth}\r\n\r\n".encode())
        links[s.fileno()] = s
        heard[s.fileno()] = b""
        head = s.recv(65536)
        if opened not in head.split(b"\r\n")[0]:
            sys.exit(f"link {i}: {head[:300]!r}")
        s.setblocking(False)
        poll.register(s, select.EPOLLIN)

    def read_all(until, deadline):
        """Reads what comes until `until()`; counts the bytes `mark` per link."""
        while not until() and time.monotonic() < deadline:
            for fd, _ in poll.poll(0.05):
                try:
                    data = links[fd].recv(65536)
                except BlockingIOError:
                    continue
                if not data:
                    sys.exit("a link was closed by the server")
                if ping and data.endswith(ping):
                    links[fd].send(pong)
                yield fd, data

    speaker = connect()
    counts = dict.fromkeys(links, 0)
    tails = dict.fromkeys(links, b"")

    def say(text):
        body = text.encode()
        speaker.sendall((f"POST /api/chat HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n{auth}\r\nContent-Type: text/plain\r\n"
                         f"Content-Length: {len(body)}\r\n\r\n").encode() + body)
        answer = speaker.recv(65536)
        if b" 201 " not in answer.split(b"\r\n")[0]:
            sys.exit(f"chat: {answer[:300]!r} (start the server with a high chat.rate)")

    def run(n):
        delivered = 0
        for i in range(n):
            say(f"message {i} " + "x" * 60)
            want = set(links)
            for fd, data in read_all(lambda: not want, time.monotonic() + 5):
                tails[fd] = tails[fd][-20:] + data
                if mark in tails[fd]:
                    tails[fd] = tails[fd].split(mark)[-1][-20:]
                    if fd in want:
                        want.discard(fd)
                        delivered += 1
            if want:
                sys.exit(f"{len(want)} links did not hear message {i} within 5 s")
        return delivered

    run(3)
    # What the links cost by themselves (heartbeats) is measured first and taken off.
    base, t0 = cpu_us(a.pid), time.monotonic()
    for _ in read_all(lambda: False, time.monotonic() + 3):
        pass
    idle_rate = (cpu_us(a.pid) - base) / (time.monotonic() - t0)

    if a.strace:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", "/dev/stderr", "-p", str(a.pid)], stderr=subprocess.PIPE, text=True)
        while not any(l.startswith("TracerPid:") and l.split()[1] != "0" for l in open(f"/proc/{a.pid}/status")):
            if tracer.poll() is not None:
                sys.exit("strace does not start")
            time.sleep(0.01)
        delivered = run(a.messages)
        tracer.send_signal(signal.SIGINT)
        lines = [l.split() for l in tracer.communicate()[1].splitlines()]
        calls = {l[1]: int(l[0]) for l in lines if len(l) == 2 and l[0].isdigit() and l[1] != "total"}
        writes = sum(n for name, n in calls.items() if "write" in name or "send" in name)
        print(f"system calls per delivered message {sum(calls.values()) / delivered:.2f}, of them writes {writes / delivered:.2f}   "
              f"target 1 write   {'ok' if writes / delivered < 1.1 else 'MISS (heartbeats are among them)'}")
        return
    base, t0 = cpu_us(a.pid), time.monotonic()
    delivered = run(a.messages)
    took = time.monotonic() - t0
    gross = (cpu_us(a.pid) - base) / delivered
    net = (cpu_us(a.pid) - base - idle_rate * took) / delivered
    print(f"{a.links} {kind} links, {a.messages} messages, {delivered} delivered in {took:.2f} s")
    print(f"CPU of the links themselves  {idle_rate / 10000:.2f} % of a core")
    print(f"CPU per delivered message    {gross:.2f} us all in, {net:.2f} us without the links' own   target 8   {'ok' if gross <= 8 else 'MISS'}")


main()

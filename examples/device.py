#!/usr/bin/env python3
"""A device in Python, with nothing but the standard library: a lamp that can be dimmed.

    ./device.py 192.168.1.10:7070 lamp-1 [--token-file FILE]

It speaks the device lines itself; a program that is started by `boatswain link` needs only `Lamp.handle` and print().
The rules are in docs/link.md. What matters:

- whatever ends the link turns the lamp off: `safe`, `bye`, a closed connection, 3 s of silence;
- it tries again every second for ever;
- after a gap in the link no command is taken until the server has answered a ping: what arrives then may be old;
- all that has come is read before anything is done: what comes last may take back what came first.
"""

import argparse
import contextlib
import json
import random
import select
import signal
import socket
import struct
import sys
import time

RETRY = 1.0      # seconds between two attempts
GREET = 10.0     # for the welcome: a slow server checks many tokens
SILENT = 3.0     # no line for so long: the server has vanished
DOUBT = 1.2      # no line for so long: what comes next may be old
TELEMETRY = 0.5
LINE_MAX = 64 * 1024
UNREAD_MAX = 8 * LINE_MAX  # read at once: many times what a server has to say

DESCRIBE = {
    "commands": {
        "dim": {"args": {"level": {"type": "integer", "min": 0, "max": 100}}},
        "colour": {"args": {"to": {"type": "string", "choices": ["warm", "cold"]}}},
        "off": {"anyone": True},
    },
    "telemetry": {"level": "%", "colour": ""},
}


class Refused(Exception):
    """A command that cannot be done, and why."""


class Lamp:
    """What the device is. Replace this by yours."""

    def __init__(self):
        self.level, self.colour = 0, "warm"

    def set(self, level, why):
        # Noted before it is done: whatever comes in between, such as SIGTERM, `safe` knows that it is to be undone.
        was, self.level = self.level, level
        if level != was:
            print(f"lamp {level} {why}", flush=True)

    def safe(self, why):
        self.set(0, why)
        print(f"safe {why}", flush=True)

    def command(self, name, args):
        """Does it; the result, or Refused."""
        if name == "dim":
            level = args.get("level")
            # The server has checked it against DESCRIBE, but this is the last place to.
            if not isinstance(level, int) or not 0 <= level <= 100:
                raise Refused("level is to be from 0 to 100")
            self.set(level, "command")
            return {"level": level}
        if name == "colour":
            self.colour = args.get("to", self.colour)
            return None
        if name == "off":
            self.set(0, "command")
            return None
        raise Refused(f"there is no command {name}")

    def telemetry(self):
        return {"level": self.level, "colour": self.colour}


class Ended(Exception):
    """The link is over, and why."""


class Link:
    """One connection, from hello to its end."""

    def __init__(self, sock, lamp):
        self.sock, self.lamp = sock, lamp
        self.received = b""
        self.heard = time.monotonic()
        self.pings, self.doubt = 0, False

    def say(self, message):
        try:
            # Lines are short; what does not go out in 3 s goes to nobody.
            self.sock.settimeout(SILENT)
            self.sock.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except ConnectionError:
            raise Ended("closed") from None
        except OSError as e:
            raise Ended(f"send: {e}") from e

    def lines(self, until):
        """All lines that have come, as soon as there are any; none at the time `until`."""
        wait = max(0.0, until - time.monotonic())
        if not select.select([self.sock], [], [], wait)[0]:
            return []
        self.sock.setblocking(False)
        over = False
        with contextlib.suppress(BlockingIOError):
            while not over and len(self.received) < UNREAD_MAX:
                try:
                    got = self.sock.recv(LINE_MAX)
                except ConnectionError:
                    raise Ended("closed") from None
                self.received += got
                over = not got
        *lines, self.received = self.received.split(b"\n")
        if len(self.received) > LINE_MAX:
            raise Ended("a line is too long")
        lines = [json.loads(line) for line in lines if line.strip()]
        if over:
            raise Ended(next((f"bye {line['bye']}" for line in lines if "bye" in line), "closed"))
        return lines

    def greet(self, name, token):
        hello = {"hello": name, "proto": 1, "describe": DESCRIBE}
        if token:
            hello["token"] = token
        self.say(hello)
        end = time.monotonic() + GREET
        while time.monotonic() < end:
            lines = self.lines(end)
            for n, line in enumerate(lines):
                if "welcome" in line:
                    self.hear()
                    return lines[n + 1:]
                if "error" in line:
                    raise Ended(f"refused: {line['error']}: {line.get('message', '')}")
        raise Ended("no welcome")

    def serve(self, lines):
        """Until the link ends, which is told by Ended."""
        tell = 0.0
        while True:
            for n, line in enumerate(lines):
                self.handle(line, lines[n + 1:])
            now = time.monotonic()
            if now - self.heard >= SILENT:
                raise Ended("silent")
            if now >= tell:
                self.say({"telemetry": self.lamp.telemetry()})
                tell = now + TELEMETRY
            lines = self.lines(min(tell, self.heard + SILENT))

    def hear(self):
        """A line has come. After a gap nobody knows how long ago it was sent."""
        now = time.monotonic()
        if now - self.heard > DOUBT:
            self.pings, self.doubt = self.pings + 1, True
            self.say({"ping": self.pings})
        self.heard = now

    def handle(self, line, rest):
        """Does what it says, but nothing that is taken back in the rest of what has come."""
        self.hear()
        if "safe" in line:
            self.lamp.safe("told")
        elif "command" in line:
            self.command(line, any("safe" in r or "bye" in r or r.get("command") == "off" for r in rest))
        elif "ping" in line:
            self.say({"pong": line["ping"]})
        elif line.get("pong") == self.pings:
            self.doubt = False
        elif "bye" in line:
            raise Ended(f"bye {line['bye']}")

    def command(self, line, taken_back):
        answer = {"answer": line["id"], "ok": True}
        try:
            # "off" is the emergency stop: late is better than never.
            if self.doubt and line["command"] != "off":
                raise Refused("not executed: it came late")
            if taken_back and line["command"] != "off":
                raise Refused("not executed: it was taken back at once")
            answer["result"] = self.lamp.command(line["command"], line.get("args") or {})
        except Refused as e:
            answer.update(ok=False, result=str(e))
        self.say(answer)


def once(server, name, token, lamp):
    """One attempt: comes back when the link is over; why, and whether it was up."""
    host, _, port = server.rpartition(":")
    up = False
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=RETRY) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # What was not sent must not arrive after a cut, when it is not true any more.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link = Link(sock, lamp)
            rest = link.greet(name, token)
            try:
                up = True
                print("up", flush=True)
                link.serve(rest)
            except KeyboardInterrupt:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
                link.say({"bye": "shutdown"})
                # Closing while lines lie unread would reset the connection, and the goodbye with it.
                end = time.monotonic() + RETRY
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
                    sock.settimeout(RETRY)
                    while time.monotonic() < end and sock.recv(LINE_MAX):
                        pass
                raise
    except Ended as e:
        return str(e), up
    except (OSError, ValueError) as e:
        return f"{type(e).__name__}: {e}", up


def main():
    parser = argparse.ArgumentParser(description="A lamp as a device of Boatswain.")
    parser.add_argument("server", help="HOST:PORT of a device listener")
    parser.add_argument("name", help="of this device")
    parser.add_argument("--token-file")
    asked = parser.parse_args()
    token = None
    if asked.token_file:
        with open(asked.token_file, encoding="utf-8") as file:
            token = file.readline().rstrip("\r\n")
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)
    lamp, said = Lamp(), None
    try:
        while True:
            began = time.monotonic()
            why, up = once(asked.server, asked.name, token, lamp)
            if up:
                lamp.safe(why)
            if up or why != said:
                print(f"no link: {why}; trying every second", file=sys.stderr, flush=True)
                said = why
            # Not all at once, if many have lost the same server.
            time.sleep(max(0.0, began + RETRY * random.uniform(0.8, 1.0) - time.monotonic()))
    except KeyboardInterrupt:
        pass
    finally:
        # Also after a mistake in the program.
        lamp.safe("shutdown")


if __name__ == "__main__":
    main()

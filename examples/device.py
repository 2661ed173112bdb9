#!/usr/bin/env python3
"""A device in Python, with nothing but the standard library: a lamp that can be dimmed.

    ./device.py 192.168.1.10:7070 lamp-1 [--token-file FILE]

It speaks the device lines itself; a program that is started by `boatswain link` needs only `Lamp.handle` and print().
The rules are in docs/link.md. What matters:

- whatever ends the link turns the lamp off: `safe`, `bye`, a closed connection, 3 s of silence;
- it tries again every second for ever;
- after a gap in the link no command is taken until the server has answered a ping: what arrives then may be old.
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
        if level != self.level:
            print(f"lamp {level} {why}", flush=True)
        self.level = level

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
        """The lines that have come, as soon as there are any; none at the time `until`."""
        wait = max(0.0, until - time.monotonic())
        if not select.select([self.sock], [], [], wait)[0]:
            return []
        try:
            got = self.sock.recv(LINE_MAX)
        except ConnectionError:
            raise Ended("closed") from None
        except OSError as e:
            raise Ended(f"receive: {e}") from e
        if not got:
            raise Ended("closed")
        *lines, self.received = (self.received + got).split(b"\n")
        if len(self.received) > LINE_MAX:
            raise Ended("a line is too long")
        return [json.loads(line) for line in lines if line.strip()]

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
                    self.heard = time.monotonic()
                    return lines[n + 1:]
                if "error" in line:
                    raise Ended(f"refused: {line['error']}: {line.get('message', '')}")
        raise Ended("no welcome")

    def serve(self, lines):
        """Until the link ends, which is told by Ended."""
        tell = 0.0
        while True:
            for line in lines:
                self.handle(line)
            now = time.monotonic()
            if now - self.heard >= SILENT:
                raise Ended("silent")
            if now >= tell:
                self.say({"telemetry": self.lamp.telemetry()})
                tell = now + TELEMETRY
            lines = self.lines(min(tell, self.heard + SILENT))

    def handle(self, line):
        now = time.monotonic()
        if now - self.heard > DOUBT:
            self.pings, self.doubt = self.pings + 1, True
            self.say({"ping": self.pings})
        self.heard = now
        if "safe" in line:
            self.lamp.safe("told")
        elif "command" in line:
            self.command(line)
        elif "ping" in line:
            self.say({"pong": line["ping"]})
        elif line.get("pong") == self.pings:
            self.doubt = False
        elif "bye" in line:
            raise Ended(f"bye {line['bye']}")

    def command(self, line):
        answer = {"answer": line["id"], "ok": True}
        try:
            if self.doubt and line["command"] != "off":
                raise Refused("not executed: it came late")
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        lamp.safe("shutdown")


if __name__ == "__main__":
    main()

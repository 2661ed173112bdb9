#!/usr/bin/env python3
"""Checks what we build upon: every crate's licence is one that we may ship with, and no crate is built in twice.

Reads `cargo metadata` for each kind of board; works offline once the crates are fetched.
"""
import json
import re
import subprocess
import sys

TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "armv7-unknown-linux-gnueabihf"]
LICENCES = {"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "0BSD",
            "Unlicense", "CC0-1.0", "Unicode-3.0"}
# Crates that may be there in two versions, each with the reason.
TWICE = {}


def metadata(target):
    for offline in (["--offline"], []):
        done = subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target, *offline],
                              capture_output=True, text=True)
        if done.returncode == 0:
            return json.loads(done.stdout)
    sys.exit(f"cargo metadata: {done.stderr.strip()}")


def may_use(expression):
    """Whether an SPDX expression leaves us a choice that is all allowed. `A/B` is an old way to write `A OR B`."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either():
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value = both() or value
        return value

    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        if tokens[0] == "(":
            tokens.pop(0)
            value = either()
            tokens.pop(0)
            return value
        name = tokens.pop(0)
        if len(tokens) > 1 and tokens[0] == "WITH":
            name += f" WITH {tokens[1]}"
            del tokens[:2]
        return name in LICENCES

    return either()


def built_in(data):
    """Names and versions of the crates that end up in the binary: no build scripts, no tests, no macros."""
    nodes = {n["id"]: n for n in data["resolve"]["nodes"]}
    packages = {p["id"]: p for p in data["packages"]}
    todo, seen = [data["resolve"]["root"]], set()
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        for dep in nodes[at]["deps"]:
            macro = any("proc-macro" in t["kind"] for t in packages[dep["pkg"]]["targets"])
            if not macro and any(kind["kind"] is None for kind in dep["dep_kinds"]):
                todo.append(dep["pkg"])
    return [packages[i] for i in seen]


def main():
    wrong, licences, names = [], {}, set()
    for target in TARGETS:
        data = metadata(target)
        for p in data["packages"]:
            licences[f"{p['name']} {p['version']}"] = p["license"] or "none named"
        versions = {}
        for p in built_in(data):
            versions.setdefault(p["name"], set()).add(p["version"])
        names |= versions.keys()
        wrong += [f"{n} is built in as {' and '.join(sorted(v))} for {target}"
                  for n, v in versions.items() if len(v) > 1 and n not in TWICE]
    wrong += [f"{name}: licence {licence!r} is not among those that we may ship with"
              for name, licence in licences.items() if not may_use(licence)]
    for line in sorted(set(wrong)):
        print(line)
    if wrong:
        sys.exit(1)
    print(f"{len(licences)} crates, {len(names)} of them built in: licences fine, none twice")


main()

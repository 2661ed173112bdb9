#!/usr/bin/env python3
"""Opens a URL in headless Chromium, waits until the page says that it is live, and takes its picture.

    docs/screenshot.py CHROMIUM URL OUT.png WIDTH HEIGHT [--dark] [--wait EXPRESSION]

Speaks the DevTools protocol over a pipe (file descriptors 3 and 4): nothing to install, no port.
"""
import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time


class Chromium:
    def __init__(self, program, profile):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def pipes():
            # Both ends may already be 3 or 4: first out of the way, then into place.
            a, b = os.dup(theirs_in), os.dup(theirs_out)
            a, b = os.dup2(a, 30), os.dup2(b, 31)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.read, self.write, self.buffer, self.number = ours_in, ours_out, b"", 0

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 20
        while True:
            while b"\0" in self.buffer:
                line, self.buffer = self.buffer.split(b"\0", 1)
                answer = json.loads(line)
                if answer.get("id") == self.number:
                    if "error" in answer:
                        sys.exit(f"{method}: {answer['error']}")
                    return answer["result"]
            if not select.select([self.read], [], [], max(0, end - time.monotonic()))[0]:
                sys.exit(f"{method}: no answer from Chromium")
            data = os.read(self.read, 1 << 20)
            if not data:
                sys.exit("Chromium ended")
            self.buffer += data


def main():
    program, url, out, width, height, *options = sys.argv[1:]
    wait = options[options.index("--wait") + 1] if "--wait" in options else \
        "document.querySelector('.banner.live') && document.querySelector('#members .rtt')"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        chromium = Chromium(program, profile)
        try:
            target = chromium.call("Target.createTarget", url="about:blank")["targetId"]
            page = chromium.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            chromium.call("Emulation.setDeviceMetricsOverride", page, width=int(width), height=int(height), deviceScaleFactor=1, mobile=False)
            scheme = "dark" if "--dark" in options else "light"
            chromium.call("Emulation.setEmulatedMedia", page, features=[{"name": "prefers-color-scheme", "value": scheme}])
            chromium.call("Page.navigate", page, url=url)
            end = time.monotonic() + 15
            while not chromium.call("Runtime.evaluate", page, expression=f"!!({wait})")["result"].get("value"):
                if time.monotonic() > end:
                    sys.exit("the page never became what it should: "
                             + str(chromium.call("Runtime.evaluate", page, expression="document.body.innerText")["result"].get("value")))
                time.sleep(0.1)
            time.sleep(0.3)  # let the last paint happen
            picture = chromium.call("Page.captureScreenshot", page, format="png")["data"]
            with open(out, "wb") as f:
                f.write(base64.b64decode(picture))
        finally:
            chromium.process.terminate()
            chromium.process.wait()


main()

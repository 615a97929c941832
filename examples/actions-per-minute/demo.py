#!/usr/bin/env python3
"""Runs the example from end to end: millrace with its embedded broker, events, and the counts.

With --seconds it ends by itself, once the last window is complete; then it succeeds only if every event
produced was counted. Without, it runs until Ctrl-C. `make demo` calls it.
"""

import argparse
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from counts import CountReader
from producer import EventSender, produce

HERE = pathlib.Path(__file__).resolve().parent
RATE = 200
START_PATIENCE = 30
# The last window closes at the next full minute, and is committed and read soon after.
WINDOW_PATIENCE = 66


class Failed(Exception):
    pass


def port(preferred):
    """The preferred port of this machine, or any that is free."""
    for candidate in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise Failed("no port is free on 127.0.0.1")


class Millrace:
    """A `millrace run` of the example with everything it keeps in a folder of its own."""

    def __init__(self, binary, folder):
        self.kafka = f"127.0.0.1:{port(9092)}"
        self.status = f"http://127.0.0.1:{port(8081)}"
        self.log_path = pathlib.Path(folder) / "millrace.log"
        command = [binary, "run", str(HERE / "actions-per-minute.yaml"), "--state-dir", f"{folder}/state"]
        command += ["--broker-listen", self.kafka, "--listen", self.status.removeprefix("http://")]
        with open(self.log_path, "wb") as log:
            # In a session of its own: Ctrl-C is for this script, which then stops it in order.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def log_tail(self):
        return "".join(self.log_path.read_text(errors="replace").splitlines(keepends=True)[-15:])

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"millrace ended with {self.process.returncode}; the end of its log:\n{self.log_tail()}")

    def await_ready(self):
        deadline = time.monotonic() + START_PATIENCE
        while True:
            self.check()
            try:
                with urllib.request.urlopen(f"{self.status}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    raise Failed(f"millrace was not ready in time; the end of its log:\n{self.log_tail()}") from None
                time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Screen:
    """The table of counts: redrawn in place in a terminal, printed anew when it changes elsewhere."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.drawn = 0
        self.windows = 0

    def show(self, reader, note):
        table = reader.table()
        if self.live:
            up = f"\x1b[{self.drawn}F" if self.drawn else ""
            lines = table + ["", note]
            sys.stdout.write(up + "".join(f"\x1b[K{line}\n" for line in lines) + "\x1b[J")
            sys.stdout.flush()
            self.drawn = len(lines)
        elif len(reader.windows) > self.windows:
            self.windows = len(reader.windows)
            print("\n".join(table), flush=True)


def demo(millrace, seconds, interrupted):
    print(f"Kafka clients: {millrace.kafka}   status: {millrace.status}/api/v1/status", flush=True)
    millrace.await_ready()
    sender = EventSender(millrace.kafka)
    reader = CountReader(millrace.kafka)
    screen = Screen()
    stopping = interrupted if not seconds else threading.Event()
    producing = threading.Thread(target=produce, args=(sender, RATE, None, seconds, stopping.is_set), daemon=True)
    producing.start()
    deadline = None
    try:
        while True:
            millrace.check()
            while reader.poll(0.2):
                pass
            if interrupted.is_set() and seconds:
                raise Failed("interrupted")
            sent, counted = sender.acknowledged, reader.total
            if producing.is_alive():
                note = f"{sent:,} events produced, {counted:,} counted in complete minutes"
            else:
                if deadline is None:
                    deadline = time.monotonic() + WINDOW_PATIENCE
                    if not seconds:
                        break
                if counted >= sent or time.monotonic() > deadline:
                    break
                note = f"{sent:,} events produced, {counted:,} counted; the last minute is complete in {60 - time.time() % 60:.0f} s"
            screen.show(reader, note)
        screen.show(reader, "")
    finally:
        stopping.set()
        producing.join(5)
        reader.close()
    return sender.acknowledged, sender.failed, reader.total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millrace", required=True, help="the millrace command")
    parser.add_argument("--seconds", type=float, default=0, help="how long to produce; 0: until Ctrl-C (the default)")
    arguments = parser.parse_args()
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    with tempfile.TemporaryDirectory(prefix="millrace-demo-") as folder:
        millrace = Millrace(os.path.abspath(arguments.millrace), folder)
        try:
            produced, failed, counted = demo(millrace, arguments.seconds, interrupted)
        except Failed as failure:
            print(f"demo: {failure}", file=sys.stderr)
            return 1
        finally:
            millrace.stop()
    if not arguments.seconds and counted < produced:
        print("stopped in the middle of a minute, which is not counted yet")
    print(f"demo: {produced} events produced, {counted} counted", flush=True)
    # Only a demo that ends by itself has waited for the last minute.
    return 0 if not arguments.seconds or (produced == counted and produced > 0 and not failed) else 1


if __name__ == "__main__":
    sys.exit(main())

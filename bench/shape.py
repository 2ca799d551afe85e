#!/usr/bin/env python3
"""Counts what the server asks of the kernel and of memory: system calls per echoed message and per delivery, and
user memory per idle connection. Counts, not times, so a noisy machine tells the same.

    cargo build --release -p trunkline-server
    python3 bench/shape.py target/release/trunkline [--workers N] [--connections N]

Needs strace. Starts a server of its own in a temporary directory, on a free port of loopback, with one worker
unless told otherwise. Each line says what was done and what it cost.
"""
import argparse
import base64
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time
import zlib


class Server:
    def __init__(self, program, workers):
        self.folder = tempfile.TemporaryDirectory()
        command = [program, "dev", "--listen", "127.0.0.1:0", "--data", self.folder.name, "--workers", str(workers)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        ready = next(line for line in self.process.stdout if line.startswith("ready "))
        host, port = ready.split("//")[1].strip().rsplit(":", 1)
        self.address = (host, int(port))

    def connect(self, path, compressed=False):
        line = socket.create_connection(self.address)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compressed else ""
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(4096)
        assert head.startswith(b"HTTP/1.1 101") and (b"permessage-deflate" in head) == compressed, head
        return line

    def user_memory(self):
        rollup = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))

    def counted(self, work):
        """The system calls of the server while `work` runs."""
        with tempfile.NamedTemporaryFile("r") as report:
            trace = subprocess.Popen(
                ["strace", "-c", "-f", "-p", str(self.process.pid), "-o", report.name],
                stderr=subprocess.PIPE, text=True)
            next(line for line in trace.stderr if "attached" in line)
            work()
            trace.send_signal(signal.SIGINT)
            trace.communicate()
            rows = [line.split() for line in report.read().splitlines()]
        return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"}

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def frame(text):
    return masked(b"\x81", text.encode())


def compressed_frame(text):
    deflate = zlib.compressobj(wbits=-15)
    return masked(b"\xc1", (deflate.compress(text.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4])


def masked(first, payload):
    mask = b"\1\2\3\4"
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(payload))
    return first + size + mask + bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))


def read_until(line, mark, count=1):
    seen = b""
    while seen.count(mark) < count:
        seen += line.recv(65536)


def echo(server, connections, in_flight, rounds):
    lines = [server.connect("/echo") for _ in range(connections)]
    message = frame("x" * 20)
    size = (len(message) - 4) * in_flight

    def work():
        for _ in range(rounds):
            for line in lines:
                line.sendall(message * in_flight)
            for line in lines:
                left = size
                while left:
                    left -= len(line.recv(left))

    report(f"echo of 20 B, {connections} connections, {in_flight} in flight",
           server.counted(work), connections * in_flight * rounds, "message")


def fan_out(server, subscribers, in_flight, rounds):
    lines = [subscribed(server) for _ in range(subscribers)]
    publisher = server.connect("/ws")
    message = frame(json.dumps({"type": "publish", "channel": "chat:shape", "data": "x" * 60}))

    def work():
        for _ in range(rounds):
            publisher.sendall(message * in_flight)
            for line in lines:
                read_until(line, b'"message"', in_flight)

    report(f"fan-out to {subscribers} subscribers (log, disk), {in_flight} in flight",
           server.counted(work), subscribers * in_flight * rounds, "delivery")


def echoed_compressed(server):
    line = server.connect("/echo", compressed=True)
    line.sendall(compressed_frame("x" * 1_000))
    assert line.recv(4096)[0] == 0xC1
    return line


def subscribed(server, compressed=False):
    line = server.connect("/ws", compressed)
    line.sendall(frame('{"type":"subscribe","channel":"chat:shape"}'))
    read_until(line, b'"can"')
    return line


def report(what, calls, units, unit):
    total = sum(calls.values())
    most = ", ".join(f"{name} {count}" for name, count in sorted(calls.items(), key=lambda c: -c[1])[:4])
    print(f"{what}: {total / units:.3f} system calls per {unit} ({total} for {units}: {most})", flush=True)


def memory(server, what, open_one, connections):
    lines = [open_one()]  # what is there once for all, such as a compressor, is not any connection's
    before = server.user_memory()
    lines += [open_one() for _ in range(connections)]
    time.sleep(2)  # the worker's own buffers come to rest; nothing waits for this
    each = (server.user_memory() - before) / connections
    print(f"user memory per idle connection, {connections} × {what}: {each:.0f} B", flush=True)
    del lines


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--connections", type=int, default=10_000)
    options = arguments.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for measure in [
        lambda server: echo(server, 1, 1, 5_000),
        lambda server: echo(server, 1, 16, 1_000),
        lambda server: echo(server, 64, 1, 300),
        lambda server: fan_out(server, 1_000, 1, 30),
        lambda server: fan_out(server, 1_000, 8, 10),
        lambda server: memory(server, "/echo", lambda: server.connect("/echo"), options.connections),
        lambda server: memory(server, "/echo, compressed, after a message", lambda: echoed_compressed(server),
                              options.connections),
        lambda server: memory(server, "/ws with one subscription", lambda: subscribed(server), options.connections),
        lambda server: memory(server, "/ws with one subscription, compressed", lambda: subscribed(server, True),
                              options.connections),
    ]:
        server = Server(options.program, options.workers)
        try:
            measure(server)
        finally:
            server.stop()


if __name__ == "__main__":
    main()

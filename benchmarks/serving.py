"""Latency of a running service under load, on this machine: text search by 1 to many clients.

python benchmarks/load_serve.py FOLDER --texts FILE --seconds 8 [--matcher NAME] [--out FILE.md]

Starts ``visita serve`` on FOLDER, waits until it is in step, then lets so many clients ask one text
after the other, each with a connection of its own. Texts are drawn with a seed and none is asked
twice in a row. Prints a table: p50 and p99 of answered requests, answers a second, share of 429,
resident memory of the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

CLIENTS = (1, 8, 32, 128)
HEAD = """\
| clients | p50, ms | p99, ms | answers/s | processor, ms an answer | 429, % | failed | memory, MB |
|--:|--:|--:|--:|--:|--:|--:|--:|"""
LIMIT = 16 + 128
"""Requests that the service takes at once by default: twice as many clients saturate it."""


@dataclass
class Heard:
    """What clients were answered."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0


async def client(address: str, texts: list[str], end: float, heard: Heard, seed: int) -> None:
    """Ask until the end, on one connection."""
    rng = random.Random(seed)
    host, port = urlsplit(address).hostname, urlsplit(address).port
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < end:
        path = f"/api/v1/search?k=50&text={quote(rng.choice(texts))}"
        begun = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        status = int(head.split()[1])
        if status == 200:
            heard.seconds.append(time.perf_counter() - begun)
        elif status == 429:
            heard.refused += 1
            await asyncio.sleep(0.1)
        else:
            heard.failed += 1
    writer.close()


async def ask(address: str, texts: list[str], clients: int, seconds: float) -> tuple[Heard, float]:
    """Return what so many clients were answered, and how long it took."""
    heard, begun = Heard(), time.perf_counter()
    end = begun + seconds
    await asyncio.gather(*(client(address, texts, end, heard, seed) for seed in range(clients)))
    return heard, time.perf_counter() - begun


def share(values: list[float], part: float) -> float:
    """Return a quantile, in milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def memory(process: int) -> float:
    """Return the resident memory of a process, in MB."""
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000


def processor(process: int) -> float:
    """Return the seconds of processor time that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(clients: int, heard: Heard, took: float, used: float, before: float, after: float) -> str:
    """Return one line of the table."""
    answers = len(heard.seconds)
    return (
        f"| {clients} | {share(heard.seconds, 0.5):.0f} | {share(heard.seconds, 0.99):.0f} "
        f"| {answers / took:.0f} | {1000 * used / answers:.1f} "
        f"| {100 * heard.refused / (answers + heard.refused):.1f} "
        f"| {heard.failed} | {before:.0f} → {after:.0f} |"
    )


def main() -> None:
    """Run the levels one after the other and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--texts", type=Path, required=True, help="one a line")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--matcher", default="visita-small")
    asked = parser.parse_args()
    lines = asked.texts.read_text("utf-8").splitlines()
    texts = [line.partition("\t")[2] or line for line in lines]
    texts = random.Random(0).sample(texts, min(2000, len(texts)))
    command = [sys.executable, "-m", "visita", "serve", asked.folder, "--port", "0", "--no-open"]
    process = subprocess.Popen([*command, "--matcher", asked.matcher], stdout=subprocess.PIPE)
    try:
        address = process.stdout.readline().decode().strip()
        while True:
            galleries = json.load(urlopen(f"{address}api/v1/galleries"))["galleries"]
            if all(gallery["state"] == "ready" for gallery in galleries):
                break
            time.sleep(1)
        asyncio.run(ask(address, texts, 4, 2))
        print(f"{asked.matcher}, {sum(g['pictures'] for g in galleries):,} pictures, k = 50\n")
        print(HEAD)
        for clients in (*CLIENTS, 2 * LIMIT):
            before, begun = memory(process.pid), processor(process.pid)
            heard, took = asyncio.run(ask(address, texts, clients, asked.seconds))
            used = processor(process.pid) - begun
            print(row(clients, heard, took, used, before, memory(process.pid)), flush=True)
    finally:
        process.kill()


if __name__ == "__main__":
    main()

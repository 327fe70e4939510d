#!/usr/bin/python3
"""Where the broker's CPU time goes under a load, as a flame graph: bench/flame.py NAME [--seconds 8] [--out docs/flame]

  NAME      http, http-batches, grpc, grpc-batches, grpc-batches-traced: the loads of docs/performance.md

Starts a broker on an empty folder and `codeq bench` against it, samples the broker with `perf` (package linux-perf; the clock of
the CPU, so that it works in a virtual machine), and draws one SVG that needs no script: a box is as wide as the share of samples
that were in that function or in what it called; the lowest row is the thread. Names stand in full in each box's tooltip.
"""

import argparse
import collections
import html
import pathlib
import re
import subprocess
import sys
import zlib

import lab

LOADS = {
    "http": (["http", "--producers", "64", "--workers", "64"], "off"),
    "http-batches": (["http", "--batch", "32"], "off"),
    "grpc": (["grpc"], "off"),
    "grpc-batches": (["grpc", "--batch", "32", "--window", "256"], "off"),
    "grpc-batches-traced": (["grpc", "--batch", "32", "--window", "256"], "1"),
}
WIDTH, ROW, CHARACTER = 1200, 17, 6.6  # pixels
SHARE_MIN = 0.002  # of what is drawn


def plain(symbol):
    """A C++ name as people say it."""
    name = re.sub(r"\[abi:cxx11\]|codeq::|\(anonymous namespace\)::|std::__cxx11::|boost::asio::detail::", "", symbol)
    while True:  # arguments of templates, from the inside
        shorter = re.sub(r"<[^<>]*>", "", name)
        if shorter == name:
            return name
        name = shorter


def stacks(data):
    """{(thread, outermost, ..., innermost): samples}"""
    printed = subprocess.run(["perf", "script", "-i", data, "-F", "comm,ip,sym"], capture_output=True, text=True, check=True)
    found = collections.Counter()
    for sample in printed.stdout.split("\n\n"):
        lines = [line for line in sample.splitlines() if line.strip()]
        if not lines:
            continue
        frames = [plain(line.split(None, 1)[1]) if len(line.split(None, 1)) > 1 else "?" for line in lines[1:]]
        while frames and frames[-1] in ("?", "[unknown]"):  # below what can be walked
            frames.pop()
        found[(lines[0].strip(), *(f for f in reversed(frames) if f != "[unknown]"))] += 1
    return found


def draw(found, title):
    total = sum(found.values())
    boxes, deepest = [], 0
    rows = sorted(found.items())

    def place(rows, depth, left):
        nonlocal deepest
        at = left
        groups = collections.OrderedDict()
        for frames, samples in rows:
            if len(frames) > depth:
                groups.setdefault(frames[depth], []).append((frames, samples))
        for name, inner in groups.items():
            samples = sum(count for _, count in inner)
            if samples / total >= SHARE_MIN:
                boxes.append((depth, at, samples, name))
                deepest = max(deepest, depth)
                place(inner, depth + 1, at)
            at += samples

    place(rows, 0, 0)
    height = (deepest + 2) * ROW + 14
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="4" y="14">{html.escape(title)}</text>']
    for depth, at, samples, name in boxes:
        x, width = WIDTH * at / total, WIDTH * samples / total
        y = height - (depth + 1) * ROW
        hue = zlib.crc32(re.split(r"::|\(", name)[0].encode()) % 60
        room = int((width - 4) / CHARACTER)
        text = name.split("(")[0]
        label = text if len(text) <= room else text[:room - 1] + "…" if room > 3 else ""
        out.append(f'<g><title>{html.escape(name[:160])}: {100 * samples / total:.1f} %</title>'
                   f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.4, 0.2):.1f}" height="{ROW - 1}" fill="hsl({hue},80%,72%)"/>'
                   + (f'<text x="{x + 2:.1f}" y="{y + 12}">{html.escape(label)}</text>' if label else "") + "</g>")
    return "\n".join([*out, "</svg>"]) + "\n"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("name", choices=LOADS)
    options.add_argument("--seconds", type=float, default=8)
    options.add_argument("--out", default=str(lab.ROOT / "docs" / "flame"))
    options = options.parse_args()
    arguments, sampling = LOADS[options.name]
    folder = pathlib.Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    data = str(lab.ROOT / "build" / f"flame-{options.name}.data")
    with lab.a_broker(sampling=sampling) as broker:
        load = lab.load(broker, *arguments, "--seconds", options.seconds + 2)
        perf = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "1499", "-g", "-p", str(broker.process.pid), "-o", data,
                               "--", "sleep", str(options.seconds)], capture_output=True, text=True)
        figures = lab.result(load)
    if perf.returncode != 0:
        sys.exit(f"flame.py: perf: {perf.stderr.strip()}")
    found = stacks(data)
    title = (f"codeq {' '.join(arguments)}: durability sync, tracing {sampling}, {sum(found.values()):,} samples, "
             f"{figures['server_cpu_us_per_task']} us of server CPU a task, {figures['completed_per_second']:,.0f} tasks/s")
    to = folder / f"{options.name}.svg"
    to.write_text(draw(found, title), encoding="utf-8")
    print(f"{to}: {title}")
    threads = collections.Counter()
    for frames, samples in found.items():
        threads[frames[0]] += samples
    for name, samples in threads.most_common():
        print(f"{100 * samples / sum(threads.values()):6.1f} %  {name}")


if __name__ == "__main__":
    main()

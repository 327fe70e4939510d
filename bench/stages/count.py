#!/usr/bin/env python3
"""Counts the instructions of each stage of the hot path, and compares them with those kept in the repo.

  count.py [--binary build/ci/bench/stages/codeq_stages] [--filter REGEX] [--accept] [--limit 3] [--json] [--functions 20]

Unit      instructions in user space a task (or message), by valgrind's callgrind; kernel and disk are not in them
Compares  with instructions/ID-RELEASE.json of this machine's release (debian-12.json): compiler, libc and RocksDB are others
          elsewhere. Where there is no such file the counts are printed and nothing can fail
Fails     status 1 where a stage takes more than --limit percent more; `--accept` writes what was counted as the new measure
          and into the table of docs/performance.md. The phases of a stage are shown, but only the whole is judged: work may
          move from one to another
Repeats   seeded chance, manual clock, an allocator without a clock, functions of libc for the oldest processor: two runs
          differ by less than 0.1 %
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
PAGE = TOP / "docs" / "performance.md"
PHASE = re.compile(r"codeq::stages::counted<(\d+)u?l?>\(")
# Which of its functions libc and the allocator take must not depend on this processor, their number or the time.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS,-FSRM,-AVX_Fast_Unaligned_Load,-SSSE3,-Fast_Unaligned_Copy",
    "MALLOC_CONF": "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1",
}


def release():
    fields = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)
    return f"{fields.get('ID', 'unknown')}-{fields.get('VERSION_ID', 'unknown')}".replace('"', "")


def versions():
    packages = ["g++", "libc6", "libjemalloc2", "librocksdb-dev", "valgrind"]
    answer = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages], capture_output=True,
                            text=True)
    return dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)


def inclusive(profile):
    """{phase: instructions} of the counted functions in one callgrind file: their own lines and those of their calls."""
    costs, names, phase = {}, {}, None
    for line in profile.open(encoding="utf-8", errors="replace"):
        if line.startswith(("fn=", "cfn=")):  # a name stands only where its number comes first
            number, _, name = line.partition("=")[2].rstrip().partition(" ")
            name = names.setdefault(number, name)
            if line.startswith("fn="):
                found = PHASE.search(name)
                phase = int(found.group(1)) if found else None
        elif phase is not None and line[:1] in "0123456789+-*":
            costs[phase] = costs.get(phase, 0) + int(line.split()[1])
    return costs


def functions(profile):
    """{function: instructions} of one callgrind file, without what they call."""
    costs, names, name, of_call = {}, {}, "", False
    for line in profile.open(encoding="utf-8", errors="replace"):
        if line.startswith(("fn=", "cfn=")):
            number, _, text = line.partition("=")[2].rstrip().partition(" ")
            text = names.setdefault(number, text)
            name = text if line.startswith("fn=") else name
        elif line.startswith("calls="):
            of_call = True  # the next line has what the call took
        elif line[:1] in "0123456789+-*":
            if not of_call:
                costs[name] = costs.get(name, 0) + int(line.split()[1])
            of_call = False
    return costs


def count(binary, wanted, show=0):
    """{stage: {phase: instructions per item}}; prints the `show` dearest functions of each stage."""
    listed = subprocess.run([str(binary), "--list"], capture_output=True, text=True, check=True).stdout.split()
    stages = [name for name in listed if re.search(wanted, name)]
    if not stages:
        sys.exit(f"count.py: no stage is called like {wanted!r}; there are {', '.join(listed)}")
    with tempfile.TemporaryDirectory(prefix="codeq-stages-") as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.%p",
                   "--toggle-collect=*stages::counted<*", str(binary), "--count", *stages]
        run = subprocess.run(command, env=ENVIRONMENT | {"TMPDIR": folder}, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"count.py: {' '.join(command)}: status {run.returncode}\n{run.stdout}{run.stderr}")
        counts = {}
        for line in run.stdout.splitlines():
            pid, name, items, phases = line.split("\t")
            costs = inclusive(pathlib.Path(folder, f"out.{pid}"))
            counts[name] = {phase: round(costs.get(number, 0) / int(items), 1)
                            for number, phase in enumerate(phases.split(","))}
            if show:
                print(f"{name}: instructions a task or message by function, without what it calls")
                dearest = sorted(functions(pathlib.Path(folder, f"out.{pid}")).items(), key=lambda item: -item[1])
                for function, cost in dearest[:show]:
                    print(f"{cost / int(items):10.0f}  {function[:140]}")
    return counts


def change(now, before):
    return 100 * (now - before) / before if before else 0.0


def compare(counts, kept, limit):
    """Prints the table; returns the stages that have become dearer, cheaper, and those that are new."""
    dearer, cheaper, new = [], [], []
    print(f"{'instructions a task or message':50} {'kept':>10} {'now':>10} {'change':>8}")
    for name, phases in counts.items():
        before = kept.get(name)
        total = sum(phases.values())
        if before is None:
            print(f"{name:50} {'':>10} {total:10.0f}      new")
            new.append(name)
        else:
            percent = change(total, sum(before.values()))
            verdict = ""
            if percent > limit:
                verdict = "  TOO MUCH"
                dearer.append(f"{name} ({percent:+.1f} %)")
            elif percent < -limit:
                verdict = "  better"
                cheaper.append(name)
            print(f"{name:50} {sum(before.values()):10.0f} {total:10.0f} {percent:+7.1f}%{verdict}")
        if len(phases) > 1:
            for phase, now in phases.items():
                then = (before or {}).get(phase)
                percent = f"{change(now, then):+7.1f}%" if then is not None else ""
                print(f"    {phase:46} {'' if then is None else f'{then:.0f}':>10} {now:10.0f} {percent}")
    return dearer, cheaper, new


def write_table(stages):
    """The kept counts as the table of docs/performance.md."""
    lines = ["| stage, with its phases | instructions a task or message |", "|---|---:|"]
    for name, phases in stages.items():
        parts = ", ".join(f"{phase} {count:,.0f}" for phase, count in phases.items() if phase)
        lines.append(f"| {name}{': ' + parts if parts else ''} | {sum(phases.values()):,.0f} |")
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(f"<!-- bench/stages/count.py, {release()} -->\n")
    _, end, after = rest.partition("<!-- end of counts -->\n")
    if begin and end:  # the page shows one release
        PAGE.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=TOP / "build" / "ci" / "bench" / "stages" / "codeq_stages")
    parser.add_argument("--filter", default="", help="only stages whose name this regular expression finds")
    parser.add_argument("--accept", action="store_true", help="keep these counts as the measure from now on")
    parser.add_argument("--limit", type=float, default=3.0, help="percent that a stage may take more (3)")
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="print the N dearest functions of each stage")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON, compare nothing")
    options = parser.parse_args()
    if not options.binary.exists():
        sys.exit(f"count.py: {options.binary} is not there: scripts/build ci codeq_stages")

    counts = count(options.binary, options.filter, options.functions)
    if options.functions:
        return 0
    if options.json:
        print(json.dumps(counts, indent=1))
        return 0
    path = HERE / "instructions" / f"{release()}.json"
    file = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"versions": {}, "stages": {}}
    kept = file["stages"]
    dearer, cheaper, new = compare(counts, kept, options.limit)

    if options.accept:
        stages = kept | counts if options.filter else counts
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"versions": versions(), "stages": stages}, indent=1) + "\n", encoding="utf-8")
        write_table(stages)
        print(f"kept in {path.relative_to(TOP)}")
        return 0
    if not kept:
        print(f"no counts are kept for {release()}: nothing was compared (--accept keeps these)")
        return 0
    for package, version in versions().items():
        if file["versions"].get(package, version) != version:
            print(f"note: {package} is {version}; it was {file['versions'][package]} when the counts were taken")
    gone = [] if options.filter else [name for name in kept if name not in counts]
    accept = f"scripts/stages --count --accept{' --filter ' + repr(options.filter) if options.filter else ''}"
    if cheaper or new:
        print(f"{len(cheaper)} cheaper, {len(new)} new; to keep them as the measure: {accept}")
    if gone:
        print(f"not counted any more: {', '.join(gone)}")
    if dearer:
        print(f"dearer than {options.limit:g} % allows: {', '.join(dearer)}")
    if gone or dearer:
        print(f"where that is meant: {accept}, and say why in the commit")
        return 1
    print(f"all {len(counts)} stages within {options.limit:g} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())

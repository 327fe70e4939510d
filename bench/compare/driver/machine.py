"""What the operating system says about a process and its children, and about the machine."""

import os
import pathlib
import platform

PROC = pathlib.Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def parse_stat(text):
    """(parent, CPU seconds) of a line of /proc/PID/stat: user and system time, its own and of children it has waited for."""
    fields = text.rpartition(")")[2].split()  # the name may hold spaces and brackets; field 3, the state, comes first here
    return int(fields[1]), sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_SECOND


def processes():
    """{pid: (parent, CPU seconds)} of everything that runs."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = parse_stat((folder / "stat").read_text())
            except OSError:
                pass  # it has just ended; its time is its parent's now
    return found


def tree(root, all_processes):
    """The pids of `root` and of everything that it started, as far as it has not been orphaned."""
    pids = {root} & all_processes.keys()
    while True:
        more = {pid for pid, (parent, _) in all_processes.items() if parent in pids} - pids
        if not more:
            return pids
        pids |= more


def written_bytes(pid):
    try:
        lines = (PROC / str(pid) / "io").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def tree_usage(root):
    """(CPU seconds, bytes sent to the disk) of a process and its children so far."""
    for _ in range(20):  # of a process that ends while we look, the time could be counted nowhere
        everything = processes()
        pids = tree(root, everything)
        if tree(root, processes()) == pids:
            break
    return sum(everything[pid][1] for pid in pids), sum(written_bytes(pid) for pid in pids)


def machine_times():
    """(ticks, ticks that the host took) of all cores since the start."""
    fields = [int(field) for field in (PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[7]


def stolen_percent(before, after):
    ticks = after[0] - before[0]
    return 100 * (after[1] - before[1]) / ticks if ticks else 0.0


def description():
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in (PROC / "cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = next(
        int(line.split()[1]) for line in (PROC / "meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} cores of {model}, {memory / 1048576:.0f} GiB, {system}, Linux {platform.release()}"

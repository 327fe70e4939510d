"""From runs to the table: medians of each case, and ratios within one comparison."""

import statistics

CASE = ("peer", "setting", "mode")


def summary(runs):
    """One row per case, in the order of their first run: its facts, the medians and how far the runs lie apart."""
    cases = {}
    for run in runs:
        cases.setdefault(tuple(run[key] for key in CASE), []).append(run)
    rows = []
    for found in cases.values():
        costs = [run["server_cpu_us_per_task"] for run in found]
        row = {key: value for key, value in found[0].items() if key != "round"}
        for key in ("completed_per_second", "server_cpu_us_per_task", "disk_bytes_per_task"):
            row[key] = statistics.median(run[key] for run in found)
        row |= {"runs": len(found), "cost_least": min(costs), "cost_most": max(costs),
                "cpu_stolen_percent": max(run["cpu_stolen_percent"] for run in found)}
        rows.append(row)
    return rows


def ratio(rows, numerator, denominator):
    """How many times more server CPU a task takes in the case named first; None where either is missing. Names: (peer, setting, mode)."""
    cost = {tuple(row[key] for key in CASE): row["server_cpu_us_per_task"] for row in rows}
    if numerator not in cost or not cost.get(denominator):
        return None
    return cost[numerator] / cost[denominator]


def cheapest(rows, peer, on_disk):
    """The row of a peer with the least CPU per task among those that promise the same; None where there is none."""
    promised = [row for row in rows if row["peer"] == peer and (row["on_disk"] != "neither") == on_disk]
    return min(promised, key=lambda row: row["server_cpu_us_per_task"], default=None)


def microseconds(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def table(rows):
    """Markdown, a row per case."""
    lines = ["| broker | durability; on disk when acknowledged | load, connections a side | batch | tracing | completed/s | server CPU us/task "
             "| (each run) | disk B/task |", "|---|---|---|---:|---|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(f"| {row['peer']} {row['setting']}".rstrip() + f" | {row['durability']}; {row['on_disk']} | {row['mode']}, {row['connections']} "
                     f"| {row['batch']} | {row['tracing']} | {row['completed_per_second']:,.0f} "
                     f"| **{microseconds(row['server_cpu_us_per_task'])}** "
                     f"| {microseconds(row['cost_least'])} to {microseconds(row['cost_most'])} | {row['disk_bytes_per_task']:,.0f} |")
    return "\n".join(lines)


def rewritten(page, mark, text):
    """`page` with what stands between the two comments of `mark` replaced. Raises ValueError where they are not there once each."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page has no place marked {mark}")
    head, rest = page.split(begin)
    return head + begin + "\n" + text.rstrip("\n") + "\n" + end + rest.split(end)[1]

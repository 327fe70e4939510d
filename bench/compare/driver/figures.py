"""From runs to the table: medians of each case, and ratios within one round."""

import statistics

CASE = ("peer", "setting", "mode")
MEDIANS = ("completed_per_second", "server_cpu_us_per_task", "disk_bytes_per_task")


def name(run):
    return tuple(run[key] for key in CASE)


def counterpart(run):
    """The name of CodeQ's case with the same promise and as much sharing."""
    return ("CodeQ", "none" if run["on_disk"] == "neither" else "sync", run["beside"])


def summary(runs):
    """One row per case, in the order of their first run: its facts, the medians and how far the runs lie apart."""
    cases, cost = {}, {}
    for run in runs:
        if run["server_cpu_us_per_task"] <= 0:
            continue  # a process of the server ended where its time was seen by nobody
        cases.setdefault(name(run), []).append(run)
        cost[name(run), run["round"]] = run["server_cpu_us_per_task"]
    rows = []
    for found in cases.values():
        row = {key: value for key, value in found[0].items() if key != "round"}
        row |= {key: statistics.median(run[key] for run in found) for key in MEDIANS}
        costs = [run["server_cpu_us_per_task"] for run in found]
        # Round by round: what slows the machine down for minutes slows both.
        ratios = [
            run["server_cpu_us_per_task"] / cost[counterpart(run), run["round"]]
            for run in found
            if cost.get((counterpart(run), run["round"]))
        ]
        row |= {
            "runs": len(found),
            "cost_least": min(costs),
            "cost_most": max(costs),
            "times_codeq": statistics.median(ratios) if ratios else None,
            "refused": max(run.get("refused", 0) for run in found),
            "cpu_stolen_percent": max(run["cpu_stolen_percent"] for run in found),
        }
        rows.append(row)
    return rows


def digits(value):
    """Three of them are all that a measurement here is good for."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def times(row):
    if row["times_codeq"] is None or name(row) == counterpart(row):
        return ""
    return f"{digits(row['times_codeq'])} ({row['beside']})"


def load(row):
    shared = f", batches of {row['batch']}" if row["batch"] > 1 else ""
    refused = f"; up to {row['refused']:,} creates refused" if row["refused"] else ""
    return f"{row['mode']}: {row['connections']}{shared}{refused}"


def table(rows):
    """Markdown, a row per case."""
    lines = [
        "| broker | on disk when acknowledged | load: connections of producers + workers | completed/s | server CPU us/task "
        "| least to most | times CodeQ's | disk B/task |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [
            f"{row['peer']} {row['setting']}".strip(),
            f"{row['on_disk']} ({row['durability']})",
            load(row),
            f"{row['completed_per_second']:,.0f}",
            f"**{digits(row['server_cpu_us_per_task'])}**",
            f"{digits(row['cost_least'])} to {digits(row['cost_most'])}",
            times(row),
            f"{row['disk_bytes_per_task']:,.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def section(facts, rows):
    """What docs/performance.md says of a comparison, between its two marks."""
    stolen = max(row["cpu_stolen_percent"] for row in rows)
    lines = [
        f"`{facts['command']}`, {facts['began']}: {facts['machine']}. "
        f"Medians of {facts['rounds']} rounds of {facts['seconds']:g} s, all cases in turn; "
        f"the host took up to {stolen:.0f} % of the machine's time. Payload "
        f"{rows[0]['payload_bytes']} bytes, tracing off unless it says traced (100 %); no peer carries trace context.",
        "",
        "Versions: " + "; ".join(dict.fromkeys(facts["versions"].values())) + ".",
        "",
    ]
    if facts["missing"]:
        lines += ["Not measured: " + "; ".join(f"{peer} ({why})" for peer, why in facts["missing"].items()) + ".", ""]
    return "\n".join(lines + [table(rows)])


def rewritten(page, mark, text):
    """`page` with what stands between the two comments of `mark` replaced. ValueError where they are not there once each."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page has no place marked {mark}")
    head, rest = page.split(begin)
    return head + begin + "\n" + text.rstrip("\n") + "\n" + end + rest.split(end)[1]

"""bench/report.html: the comparison as bars, in one file that needs nothing else and is read on a phone too."""

import html

from . import figures

ROW, WIDTH, LEFT, RIGHT = 40, 360, 4, 60  # of a chart, in its own units: label above its bar, figure behind it

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #68717d; --line: #d8dde3; --peer: #9aa7b5; --ours: #d2601a;
  --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #98a2ad; --line: #343b43; --peer: #5d6a78; --ours: #f08a45; --page: #14181c; }
}
body { margin: 0 auto; padding: 1rem; max-width: 46rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin: 2rem 0 0; }
p, li { overflow-wrap: anywhere; } .soft { color: var(--soft); font-size: .875rem; }
svg { width: 100%; height: auto; display: block; margin-top: .5rem; } svg text { fill: var(--ink); font-size: 11px; }
svg .dim { fill: var(--soft); } .ours { fill: var(--ours); } .peer { fill: var(--peer); }
.axis { stroke: var(--line); } .range { stroke: var(--ink); stroke-width: 1.2; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .8rem; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
"""


def chart(rows, key, unit, shown, least=None, most=None):
    """Bars of `key` in their order, on one linear scale from zero; a line from `least` to `most` where they are named."""
    top = max(row[most or key] for row in rows) or 1
    scale = (WIDTH - LEFT - RIGHT) / top
    parts = [f'<svg viewBox="0 0 {WIDTH} {ROW * len(rows) + 4}" role="img" aria-label="{html.escape(unit)}">']
    for index, row in enumerate(rows):
        y, length = index * ROW, row[key] * scale
        label = html.escape(f"{row['peer']} {row['setting']}".strip())
        partly = "" if row["on_disk"] in ("both", "neither") else " *"
        detail = html.escape(f" {row['mode']} ({row['connections']}){partly}")
        parts.append(
            f'<text x="{LEFT}" y="{y + 14}">{label}<tspan class="dim">{detail}</tspan></text>'
            f'<rect class="{"ours" if row["peer"] == "CodeQ" else "peer"}" x="{LEFT}" y="{y + 19}" '
            f'width="{max(length, 1):.1f}" height="13"/>'
        )
        end = length
        if least and row["runs"] > 1:
            low, end = row[least] * scale, row[most] * scale
            parts.append(
                f'<line class="range" x1="{LEFT + low:.1f}" x2="{LEFT + end:.1f}" y1="{y + 25.5}" y2="{y + 25.5}"/>'
            )
        parts.append(f'<text x="{LEFT + max(length, end) + 4:.1f}" y="{y + 29}">{shown(row[key])}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="0" y2="{ROW * len(rows)}"/></svg>')
    return "".join(parts)


def full_table(rows):
    head = (
        "broker",
        "durability",
        "on disk when acknowledged",
        "load",
        "tracing",
        "payload B",
        "runs",
        "completed/s",
        "CPU us/task",
        "least",
        "most",
        "times CodeQ's",
        "disk B/task",
        "stolen %",
    )
    lines = ["<tr>" + "".join(f'<th class="{"n" if i > 5 else ""}">{word}</th>' for i, word in enumerate(head)) + "</tr>"]
    for row in rows:
        words = [
            f"{row['peer']} {row['setting']}".strip(),
            row["durability"],
            row["on_disk"],
            figures.load(row),
            row["tracing"],
        ]
        numbers = [
            row["payload_bytes"],
            row["runs"],
            f"{row['completed_per_second']:,.0f}",
            figures.digits(row["server_cpu_us_per_task"]),
            figures.digits(row["cost_least"]),
            figures.digits(row["cost_most"]),
            figures.times(row),
            f"{row['disk_bytes_per_task']:,.0f}",
            f"{row['cpu_stolen_percent']:.0f}",
        ]
        lines.append(
            "<tr>"
            + "".join(f"<td>{html.escape(str(word))}</td>" for word in words)
            + "".join(f'<td class="n">{html.escape(str(number))}</td>' for number in numbers)
            + "</tr>"
        )
    return '<div class="scroll"><table>' + "".join(lines) + "</table></div>"


def page(facts, rows):
    text = html.escape
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>CodeQ and its peers</title><style>{STYLE}</style></head><body>",
        "<h1>What a completed task costs: CodeQ and its peers on one machine</h1>",
        "<p>Enqueued and acknowledged, delivered, completion acknowledged. Server CPU time (user and system, children "
        f"included) per completed task, payload {rows[0]['payload_bytes']} bytes, closed loop, servers and clients on the "
        "same cores, all cases in turn. Shorter is better; the thin line goes from the least to the most of the runs.</p>",
        f'<p class="soft">{text(facts["machine"])}. {facts["rounds"]} rounds of {facts["seconds"]:g} s, '
        f'{text(facts["began"])}. '
        f'To repeat it: <code>{text(facts["command"])}</code>. Drawn by bench/compare/run from its runs.</p>',
    ]
    for title, synced in (("On disk before it is acknowledged", True), ("Acknowledged before it is on disk", False)):
        chosen = [row for row in rows if (row["on_disk"] != "neither") == synced]
        if not chosen:
            continue
        parts.append(f"<h2>{title}: microseconds of server CPU per task</h2>")
        parts.append(
            chart(
                sorted(chosen, key=lambda row: row["server_cpu_us_per_task"]),
                "server_cpu_us_per_task",
                title,
                figures.digits,
                "cost_least",
                "cost_most",
            )
        )
        parts.append(f"<h2>{title}: completed tasks per second</h2>")
        parts.append(
            chart(
                sorted(chosen, key=lambda row: -row["completed_per_second"]), "completed_per_second", title, "{:,.0f}".format
            )
        )
    partly = [row for row in rows if row["on_disk"] not in ("both", "neither")]
    for peer, on_disk in dict.fromkeys((row["peer"], row["on_disk"]) for row in partly):
        parts.append(f'<p class="soft">* {text(peer)}: {text(on_disk)}.</p>')
    parts.append("<h2>All of it</h2>" + full_table(rows))
    parts.append(
        "<h2>Versions</h2><ul>"
        + "".join(f"<li>{text(words)}</li>" for words in dict.fromkeys(facts["versions"].values()))
        + "</ul>"
    )
    if facts["missing"]:
        parts.append(
            "<h2>Not measured</h2><ul>"
            + "".join(f"<li>{text(peer)}: {text(why)}</li>" for peer, why in facts["missing"].items())
            + "</ul>"
        )
    return "\n".join(parts) + "\n</body></html>\n"

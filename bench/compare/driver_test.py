#!/usr/bin/python3
"""The driver's arithmetic. No server is started."""

import os
import subprocess
import sys
import pathlib
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from driver import clients, figures, machine, report  # noqa: E402


def run(peer, setting, mode, cost, number=1, rate=1000.0, on_disk="both", beside="HTTP", stolen=0.0):
    return {
        "peer": peer,
        "setting": setting,
        "mode": mode,
        "durability": "fsync",
        "on_disk": on_disk,
        "connections": "1 + 1",
        "batch": 1,
        "beside": beside,
        "tracing": "off",
        "payload_bytes": 300,
        "round": number,
        "completed": 8000,
        "seconds": 8.0,
        "completed_per_second": rate,
        "server_cpu_us_per_task": cost,
        "disk_bytes_per_task": 400,
        "cpu_stolen_percent": stolen,
    }


FACTS = {
    "machine": "2 cores of <a kind>",
    "versions": {"Peer": "Peer 1", "Other": "Peer 1"},
    "missing": {"Third": "no <package>"},
    "rounds": 3,
    "seconds": 8,
    "began": "2026-01-02",
    "command": "bench/compare/run",
}


class Figures(unittest.TestCase):
    def test_a_run_whose_cost_was_lost_is_left_out(self):
        rows = figures.summary([run("Peer", "", "single", cost, number=n) for n, cost in ((1, 3.0), (2, -9.0), (3, 5.0))])
        self.assertEqual((rows[0]["runs"], rows[0]["cost_least"], rows[0]["server_cpu_us_per_task"]), (2, 3.0, 4.0))

    def test_a_run_is_counted_between_the_two_lines(self):
        found = clients.figures(completed=2000, seconds=4.0, cpu_seconds=0.1, disk_bytes=1_000_000, stolen=1.26)
        self.assertEqual(
            (found["completed_per_second"], found["server_cpu_us_per_task"], found["disk_bytes_per_task"]),
            (500.0, 50.0, 500),
        )

    def test_a_row_has_the_medians_and_the_widest_of_its_runs(self):
        rows = figures.summary(
            [
                run("Peer", "", "single", cost, number, rate=rate, stolen=rate / 100)
                for number, (cost, rate) in enumerate([(90.0, 100.0), (30.0, 900.0), (40.0, 300.0)])
            ]
        )
        self.assertEqual(len(rows), 1)
        self.assertEqual((rows[0]["server_cpu_us_per_task"], rows[0]["completed_per_second"]), (40.0, 300.0))
        self.assertEqual(
            (rows[0]["cost_least"], rows[0]["cost_most"], rows[0]["cpu_stolen_percent"], rows[0]["runs"]),
            (30.0, 90.0, 9.0, 3),
        )

    def test_a_ratio_is_taken_within_each_round(self):
        runs = []
        for number, slow in enumerate([1, 3, 10]):  # the machine, not the brokers
            runs += [run("CodeQ", "sync", "HTTP", 10.0 * slow, number), run("Peer", "", "single", 20.0 * slow, number)]
        runs[-1]["server_cpu_us_per_task"] = 500.0
        self.assertEqual(figures.summary(runs)[1]["times_codeq"], 2.0)

    def test_a_ratio_is_to_the_case_with_the_same_promise_and_sharing(self):
        runs = [run("CodeQ", "sync", "HTTP", 10.0), run("CodeQ", "none", "HTTP", 5.0), run("CodeQ", "none", "gRPC", 1.0)]
        for on_disk, beside, expected in (
            ("both", "HTTP", 2.0),
            ("the enqueue", "HTTP", 2.0),
            ("neither", "HTTP", 4.0),
            ("neither", "gRPC", 20.0),
            ("both", "gRPC", None),
        ):
            rows = figures.summary(runs + [run("Peer", "", "single", 20.0, on_disk=on_disk, beside=beside)])
            self.assertEqual(rows[-1]["times_codeq"], expected, (on_disk, beside))

    def test_a_case_without_its_counterpart_in_one_round_uses_the_others(self):
        rows = figures.summary(
            [run("CodeQ", "sync", "HTTP", 10.0, 1), run("Peer", "", "single", 30.0, 1), run("Peer", "", "single", 90.0, 2)]
        )
        self.assertEqual(rows[1]["times_codeq"], 3.0)

    def test_the_table_has_a_row_per_case_of_as_many_cells_as_its_head(self):
        rows = figures.summary([run("CodeQ", "sync", "HTTP", 10.04), run("Peer", "", "single", 123.4, rate=12345.6)])
        lines = figures.table(rows).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual({line.count("|") for line in lines}, {lines[0].count("|")})
        self.assertIn("| 12,346 | **123** | 123 to 123 | 12.3 (HTTP) |", lines[3])

    def test_refused_creates_are_said_where_there_were_some(self):
        rows = figures.summary([run("CodeQ", "sync", "HTTP", 1.0) | {"refused": 1234}, run("CodeQ", "none", "HTTP", 1.0)])
        self.assertEqual([figures.load(row) for row in rows], ["HTTP: 1 + 1; up to 1,234 creates refused", "HTTP: 1 + 1"])

    def test_the_page_is_rewritten_between_its_marks_and_nowhere_else(self):
        page = "a\n<!-- m: begin -->\nold\n<!-- m: end -->\nb\n"
        once = figures.rewritten(page, "m", "new\n")
        self.assertEqual(once, "a\n<!-- m: begin -->\nnew\n<!-- m: end -->\nb\n")
        self.assertEqual(figures.rewritten(once, "m", "new"), once)
        for bad in ("no marks", page + page, "<!-- m: end --><!-- m: begin -->"):
            self.assertRaises(ValueError, figures.rewritten, bad, "m", "new")

    def test_what_is_missing_is_named_with_the_reason(self):
        text = figures.section(FACTS, figures.summary([run("Peer", "", "single", 1.0, stolen=7.0)]))
        self.assertIn("Third (no <package>)", text)
        self.assertIn("up to 7 %", text)
        self.assertEqual(text.count("Peer 1"), 1)


class Report(unittest.TestCase):
    def test_it_needs_nothing_from_anywhere_and_escapes_what_it_is_told(self):
        page = report.page(
            FACTS, figures.summary([run("Peer", "<b>", "single", 1.0), run("CodeQ", "none", "HTTP", 2.0, on_disk="neither")])
        )
        for word in ("http:", "https:", "<script", "<link", "url(", "src=", "<b>", "no <package>"):
            self.assertNotIn(word, page)
        self.assertEqual(page.count("<svg"), 4)
        self.assertNotIn("*", page.partition("</style>")[2])

    def test_what_is_only_partly_on_the_disk_is_marked_and_said(self):
        page = report.page(FACTS, figures.summary([run("Peer", "", "single", 1.0, on_disk="the enqueue alone")]))
        self.assertIn("single (1 + 1) *", page)
        self.assertIn("* Peer: the enqueue alone.", page)
        self.assertIn("width=device-width", page)


class Machine(unittest.TestCase):
    def test_cpu_time_is_read_behind_a_name_that_may_hold_anything(self):
        line = "77 (a) b (c) S 5 77 77 0 -1 0 0 0 0 0 100 20 3 4 20 0 1 0 9 0 0"
        self.assertEqual(machine.parse_stat(line), (5, 127 / machine.TICKS_PER_SECOND))

    def test_a_tree_is_everything_that_descends_from_its_root(self):
        self.assertEqual(machine.tree(1, {1: (0, 0), 2: (1, 0), 3: (2, 0), 4: (0, 0), 5: (4, 0)}), {1, 2, 3})
        self.assertEqual(machine.tree(9, {1: (0, 0), 2: (9, 0)}), set())

    def test_the_time_of_a_child_that_has_ended_is_not_lost(self):
        before, _ = machine.tree_usage(os.getpid())
        subprocess.run([sys.executable, "-S", "-c", "n = 0\nwhile n < 3_000_000: n += 1"], check=True)
        after, _ = machine.tree_usage(os.getpid())
        self.assertGreater(after, before)

    def test_stolen_time_is_a_share_of_all_time(self):
        self.assertEqual(machine.stolen_percent((1000, 10), (1200, 60)), 25.0)
        self.assertEqual(machine.stolen_percent((1000, 10), (1000, 10)), 0.0)


if __name__ == "__main__":
    unittest.main()

"""docs/compatibility.md is only as good as the tests it names: each of them must be there. No broker is started."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
CITATION = re.compile(r"`(test_\w+\.py::test_\w+|[A-Z]\w*\.[A-Z]\w*)`")
NOT_SHOWN = "not shown"


def rows():
    """(section, cells) of every row of every table whose last column is the test."""
    section, header = "", None
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            section, header = line.lstrip("# "), None
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if header is None:
            header = cells
        elif header[-1] == "test" and set(line) - set("|-: "):
            assert len(cells) == len(header), line
            yield section, cells


def python_tests():
    for file in ROOT.glob("tests/e2e/test_*.py"):
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE):
            yield f"{file.name}::{name}"


def cpp_tests():
    for folder in ("src", "tests"):
        for file in (ROOT / folder).rglob("*.cc"):
            for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", file.read_text(), re.MULTILINE):
                yield f"{suite}.{name}"


def test_every_test_that_the_page_names_is_there():
    there = {*python_tests(), *cpp_tests()}
    missing = sorted({name for _, cells in rows() for name in CITATION.findall(cells[-1])} - there)
    assert missing == []


def test_every_row_names_a_test_or_admits_that_there_is_none():
    silent = []
    for section, cells in rows():
        rest = CITATION.sub("", cells[-1]).strip(" ,·")
        named = bool(CITATION.search(cells[-1]))
        # Whatever stands beside the citations would be a citation that nobody checks.
        if not (named and rest == "") and cells[-1] != NOT_SHOWN:
            silent.append((section, cells[0], cells[-1]))
    assert silent == []


def test_every_numbered_defect_has_one_row():
    numbers = [cells[0] for section, cells in rows() if re.fullmatch(r"[QG]\d+", cells[0])]
    assert sorted(numbers) == sorted([f"Q{n}" for n in range(1, 31)] + [f"G{n}" for n in range(1, 48)])


def test_the_settings_of_the_page_are_those_of_the_broker():
    known = (ROOT / "docs" / "configuration.md").read_text()
    settings = [cells for section, cells in rows() if section == "Settings" and len(cells) == 4]
    assert len(settings) > 50
    for cells in settings:
        for word in re.findall(r"`([A-Za-z_.]+)`", cells[0] + cells[1]):
            assert f"`{word}`" in known, word

#!/usr/bin/env python3
"""Draws which room of src/ includes which, and judges it.

  rooms.py --check    compare with docs/rooms.txt; status 1 on a forbidden arrow or one that is not written down
  rooms.py --write    redraw docs/rooms.txt (a forbidden arrow still fails)
  rooms.py --print    only print the map

A room is a folder of src/, a subroom a folder inside one. Rooms include downwards only:

  app -> transport -> services -> storage, log, observe -> disk, core -> base

A subroom is an implementation: only its own room, app and tests may look into it; a header that a room wants others to
see stands at its top. Test files (NAME_test.cc, test_NAME.h, NAME_testing.h, NAME_contract.h) may look into every subroom below them and
are not drawn.
"""

import argparse
import difflib
import pathlib
import re
import sys

LEVELS = [["base"], ["disk", "core"], ["storage", "log", "observe"], ["services"], ["transport"], ["app"]]
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
PURE = {"core"}  # rooms that see nothing but the standard library and the rooms below
SUFFIXES = {".h", ".cc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
TEST_FILE = re.compile(r"(^|/)test_[^/]*$|(_test|_tests|_testing|_contract)\.(h|cc)$")

# Foreign headers by the library that brings them; a header that is not named here is the system's or a new library.
LIBRARIES = [
    ("asio", r"boost/asio"), ("beast", r"boost/beast"), ("boost-url", r"boost/url"), ("boost", r"boost/"),
    ("cli11", r"CLI/"), ("curl", r"curl/"), ("fmt", r"fmt/"), ("gtest", r"g(test|mock)/"), ("nghttp2", r"nghttp2/"),
    ("openssl", r"openssl/"), ("protozero", r"protozero/"), ("rocksdb", r"rocksdb/"), ("simdjson", r"simdjson"),
    ("spdlog", r"spdlog/"), ("xxhash", r"xxhash"), ("yaml-cpp", r"yaml-cpp/"), ("zlib", r"zlib\.h"),
]
INTRINSICS = re.compile(r"^(\w*intrin|cpuid|arm_\w+)\.h$")


def place_of(path):
    """'log/local/disk.cc' -> ('log', 'log/local'); a file at the top of its room -> ('log', 'log')."""
    parts = pathlib.PurePosixPath(path).parts
    return parts[0], "/".join(parts[:-1][:2])


def library_of(header):
    for name, pattern in LIBRARIES:
        if re.match(pattern, header):
            return name
    if INTRINSICS.match(header):
        return "intrinsics"
    if "/" in header or header.endswith(".h"):
        return "system" if header.endswith(".h") else header
    return None  # the standard library


def judge(file, target):
    """Why `file` must not include `target`, or None."""
    room, place = place_of(file)
    other, other_place = place_of(target)
    is_test = bool(TEST_FILE.search(file))
    if room not in LEVEL:
        return f"{file}: {room}/ is not a room"
    if other not in LEVEL:
        return f"{file}: includes {target}, which is in no room"
    if TEST_FILE.search(target) and not is_test:
        return f"{file}: includes {target}, which belongs to tests"
    if other == room:
        return None
    if LEVEL[other] > LEVEL[room]:
        return f"{file}: includes {target}: {other} is above {room}"
    if LEVEL[other] == LEVEL[room]:
        return f"{file}: includes {target}: {other} and {room} are siblings and do not see each other"
    if other_place != other and room != "app" and not is_test:
        return f"{file}: includes {target}: a subroom is seen by app and tests alone"
    return None


def read_map(source):
    """The arrows of the tree under `source`: {place: (set of places, set of libraries)}, and a list of complaints."""
    arrows, complaints = {}, []
    for path in sorted(source.rglob("*")):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        file = path.relative_to(source).as_posix()
        room, place = place_of(file)
        if place == "":
            complaints.append(f"{file}: stands in no room")
            continue
        is_test = bool(TEST_FILE.search(file))
        rooms, libraries = (set(), set()) if is_test else arrows.setdefault(place, (set(), set()))
        for quote, header in INCLUDE.findall(path.read_text(encoding="utf-8")):
            if quote == '"':
                complaint = judge(file, header)
                if complaint:
                    complaints.append(complaint)
                elif not (source / header).is_file():
                    complaints.append(f"{file}: includes {header}, which is not there (write paths from src/)")
                if not is_test and place_of(header)[1] != place:
                    rooms.add(place_of(header)[1])
            else:
                library = library_of(header)
                if is_test or library is None:
                    continue
                libraries.add(library)
                if room in PURE:
                    complaints.append(f"{file}: includes <{header}>: {room} sees the standard library only")
    return arrows, complaints


def draw(arrows):
    def order(place):
        room = place.split("/")[0]
        return LEVEL.get(room, len(LEVELS)), room, place

    lines = [
        "# Which room includes which, tests left out. Redrawn by `python3 tests/rooms/rooms.py --write`; a test compares.",
        "# A new arrow is a decision: it shows up in review as a line of this file. A room without a slash stands for the",
        "# headers at its top; one with a slash is an implementation, seen by its own room, by app and by tests alone.",
        "#",
        "#   app -> transport -> services -> storage, log, observe -> disk, core -> base",
    ]
    level = None
    for place in sorted(arrows, key=order):
        rooms, libraries = arrows[place]
        if order(place)[0] != level:
            lines.append("")
            level = order(place)[0]
        line = f"{place}: " + " ".join(sorted(rooms, key=order, reverse=True))
        line = line.rstrip()
        if libraries:
            line += f" | {' '.join(sorted(libraries))}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    top = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, default=top / "src")
    parser.add_argument("--map", type=pathlib.Path, default=top / "docs" / "rooms.txt")
    what = parser.add_mutually_exclusive_group(required=True)
    for name in ("--check", "--write", "--print"):
        what.add_argument(name, action="store_true")
    options = parser.parse_args()

    arrows, complaints = read_map(options.source)
    drawn = draw(arrows)
    if options.print:
        sys.stdout.write(drawn)
    elif options.write:
        options.map.write_text(drawn, encoding="utf-8")
    else:
        written = options.map.read_text(encoding="utf-8") if options.map.exists() else ""
        difference = list(difflib.unified_diff(written.splitlines(), drawn.splitlines(), "written down", "found", lineterm="", n=0))
        if difference:
            print("\n".join(difference))
            complaints.append("the map of docs/rooms.txt and the includes of src/ differ; if the new arrow is meant: "
                              "python3 tests/rooms/rooms.py --write")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

"""The guard of the include map, guarded: each rule is shown to catch what it is there for."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(__file__).with_name("rooms.py")
HONEST = {
    "base/clock.h": "#include <cstdint>\n",
    "core/task.h": '#include "base/clock.h"\n',
    "log/log.h": '#include "core/task.h"\n',
    "log/local/disk.h": '#include <fcntl.h>\n#include "log/log.h"\n',
    "observe/span.h": "",
    "services/broker.h": '#include "log/log.h"\n',
    "services/broker_test.cc": '#include <gtest/gtest.h>\n#include "log/local/disk.h"\n',
    "transport/http/server.h": '#include <boost/asio.hpp>\n#include "services/broker.h"\n',
    "app/main.cc": '#include "log/local/disk.h"\n#include "transport/http/server.h"\n',
}


class Rooms(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        for name, text in HONEST.items():
            self.put(name, text)
        self.assertEqual(self.run_map("--write").returncode, 0)

    def put(self, name, text):
        path = self.top / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_map(self, what):
        return subprocess.run([sys.executable, PROGRAM, what, "--source", self.top / "src", "--map", self.top / "rooms.txt"],
                              capture_output=True, text=True, check=False)

    def assert_refused(self, reason):
        for what in ("--check", "--write"):  # writing it down does not make it right
            done = self.run_map(what)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(reason, done.stderr)

    def test_a_written_down_map_passes_and_names_rooms_subrooms_and_libraries(self):
        self.assertEqual(self.run_map("--check").returncode, 0)
        drawn = (self.top / "rooms.txt").read_text()
        self.assertIn("\nlog/local: log | system\n", drawn)
        self.assertIn("\ntransport/http: services | asio\n", drawn)
        self.assertIn("\napp: transport/http log/local\n", drawn)
        self.assertNotIn("gtest", drawn)

    def test_a_new_arrow_downwards_fails_until_it_is_written_down(self):
        self.put("services/auth.cc", '#include "observe/span.h"\n')
        done = self.run_map("--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("+services: observe log", done.stdout)
        self.assertEqual(self.run_map("--write").returncode, 0)
        self.assertEqual(self.run_map("--check").returncode, 0)

    def test_a_new_library_fails_until_it_is_written_down(self):
        self.put("services/auth.cc", "#include <openssl/evp.h>\n")
        self.assertEqual(self.run_map("--check").returncode, 1)

    def test_an_arrow_that_is_gone_leaves_the_map(self):
        self.put("services/broker.h", "")
        self.assertEqual(self.run_map("--check").returncode, 1)

    def test_an_arrow_upwards_is_refused(self):
        self.put("core/apply.cc", '#include "services/broker.h"\n')
        self.assert_refused("services is above core")

    def test_siblings_do_not_see_each_other(self):
        self.put("log/local/disk.cc", '#include "observe/span.h"\n')
        self.assert_refused("siblings")

    def test_a_test_may_not_look_upwards_either(self):
        self.put("core/apply_test.cc", '#include "services/broker.h"\n')
        self.assert_refused("services is above core")

    def test_a_subroom_is_hidden_from_the_rooms_between(self):
        self.put("services/partition.cc", '#include "log/local/disk.h"\n')
        self.assert_refused("seen by app and tests alone")

    def test_core_sees_the_standard_library_only(self):
        self.put("core/apply.cc", "#include <unistd.h>\n")
        self.assert_refused("core sees the standard library only")

    def test_code_of_tests_stays_with_tests(self):
        self.put("log/log_testing.h", "")
        self.put("services/partition.cc", '#include "log/log_testing.h"\n')
        self.assert_refused("belongs to tests")

    def test_paths_are_written_from_the_top(self):
        self.put("log/local/disk.cc", '#include "disk.h"\n')
        self.assertEqual(self.run_map("--check").returncode, 1)


if __name__ == "__main__":
    unittest.main()

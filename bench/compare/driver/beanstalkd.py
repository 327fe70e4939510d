"""beanstalkd, by its own protocol (beanstalkd/main.go)."""

from . import clients
from .case import Case
from .servers import first_line, free_port, listens, program, running

MODES = {"single": ("64 + 64", 1), "pipelined": ("4 + 4", 64)}
SETTINGS = {"-f0": ("fsync at every write", True, ["-f0"]), "-b": ("fsync every 50 ms", False, []), "none": ("no binlog", False, None)}


def cases():
    return [Beanstalkd(setting, mode) for setting in SETTINGS for mode in MODES]


class Beanstalkd(Case):
    peer = "beanstalkd"
    client = "beanstalkd"

    def __init__(self, setting, mode):
        self.durability, self.synced, self.flags = SETTINGS[setting]
        self.setting, self.mode = setting, mode
        self.connections, self.batch = MODES[mode]

    def version(self):
        return first_line(program("beanstalkd", "beanstalkd"), "-v")

    def run(self, folder, options):
        port = free_port()
        binlog = [] if self.flags is None else ["-b", folder, *self.flags]
        # As root it would change to nobody, who may not write here; -u keeps it.
        command = [program("beanstalkd", "beanstalkd"), "-l", "127.0.0.1", "-p", port, *binlog]
        with running(folder, command, lambda: listens(port)) as pid:
            return clients.measure([clients.BUILT / self.client, "-server", f"127.0.0.1:{port}", "-mode", self.mode,
                                    *options.client_flags()], pid, options.seconds)

"""One line of the comparison: a peer, its durability, and the shape of the load."""

PAYLOAD_BYTES = 300


class Case:
    """What a peer's module gives the driver.

    peer, setting, mode   name it: "beanstalkd", "-f0", "single"
    durability            in words, for the reader
    synced                True where a yes, of the enqueue and of the completion, means that it is on the disk
    connections, batch    of producers + workers; tasks that share a message or a write
    version()             of the server, in its own words; raises CannotRun where it is not installed
    run(folder, options)  one measurement on a fresh server: the figures of clients.measure
    """

    peer = setting = mode = durability = connections = ""
    synced = False
    batch = 1
    tracing = "none"  # nobody but CodeQ carries trace context
    command = ()

    @property
    def name(self):
        return " ".join(word for word in (self.peer, self.setting, self.mode) if word)

    def facts(self):
        return {"peer": self.peer, "setting": self.setting, "mode": self.mode, "durability": self.durability,
                "acknowledged_is_on_disk": self.synced, "connections": self.connections, "batch": self.batch,
                "tracing": self.tracing, "payload_bytes": PAYLOAD_BYTES}


class Options:
    """Of one run of the driver."""

    def __init__(self, seconds, warmup):
        self.seconds, self.warmup = seconds, warmup

    def client_flags(self):
        return ["-warmup", f"{self.warmup}s", "-seconds", f"{self.seconds}s", "-payload", PAYLOAD_BYTES]

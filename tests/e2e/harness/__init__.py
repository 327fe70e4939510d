"""The world around a broker under test. See README.md beside this folder."""

from .api import BASE, Api
from .backends import Receiver
from .broker import Broker, Tokens
from .certificates import Certificates
from .context import Context
from .net import Raw, exchange, free_port, request_bytes
from .stream import Call, Producer, StreamEnded, WorkerStream
from .world import World

__all__ = ["BASE", "Api", "Broker", "Call", "Certificates", "Context", "Producer", "Raw", "Receiver", "StreamEnded", "Tokens", "WorkerStream", "World",
           "exchange", "free_port", "request_bytes"]

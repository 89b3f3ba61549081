"""The bus: the only part of Watchline that knows NATS."""

from libs.bus.connection import Bus, connect
from libs.bus.desk import AskError, Endpoint, dead_letter
from libs.bus.flushing import flushed
from libs.bus.inbox import Delivery, Inbox
from libs.bus.portraits import Portraits
from libs.bus.reading import Stored
from libs.bus.records import Mirror, Records
from libs.bus.streams import Conflict

__all__ = [
    "AskError",
    "Bus",
    "Conflict",
    "Delivery",
    "Endpoint",
    "Inbox",
    "Mirror",
    "Portraits",
    "Records",
    "Stored",
    "connect",
    "dead_letter",
    "flushed",
]

"""The bus: the only part of Watchline that knows NATS."""

from libs.bus.connection import AskError, Bus, Endpoint, connect
from libs.bus.inbox import Delivery, Inbox
from libs.bus.records import Conflict, Mirror, Records

__all__ = ["AskError", "Bus", "Conflict", "Delivery", "Endpoint", "Inbox", "Mirror", "Records", "connect"]

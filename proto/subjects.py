"""Every subject, stream, durable consumer and bucket. Spelled here and nowhere else."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from proto.cases import Adjudication, Intervention
from proto.messages import Alert, Candidates, DeadLetter, Message, Probe, Sample

ROOT = "watchline.v1"
DETECT = f"{ROOT}.detect"
DETECT_IMAGES = f"{ROOT}.detect_images"
EMBED = f"{ROOT}.embed"
WATCHLIST = f"{ROOT}.watchlist"
"""Asks of `match`: the next token says what for, for example `enrol`."""
DEPLOYMENT = f"{ROOT}.deployment"
CASES = f"{ROOT}.cases"
"""Asks of `govern` about deployments, and about alerts in the hands of people."""
AUDIT_ASKS = f"{ROOT}.auditing"
"""Asks of `govern` to append to the audit."""
PROGRAMS = {DETECT_IMAGES: "detect", WATCHLIST: "match", DEPLOYMENT: "govern", CASES: "govern", AUDIT_ASKS: "govern"}
"""Who answers asks, where the subject has not the name of the program."""


@dataclass(frozen=True)
class Stream:
    """A JetStream stream. `max_messages` makes it refuse (never forget) what its reader has no time for.

    Its duplicate window is no shorter than the life of the messages that cause its own, so that one which is handled
    again late still causes nothing twice.
    """

    name: str
    subjects: tuple[str, ...]
    storage: Literal["memory", "file"]
    retention: Literal["workqueue", "limits"]
    max_age_s: float
    max_messages: int = -1
    duplicate_window_s: float = 120.0
    append_only: bool = False
    """Whether the server refuses to delete or purge what is in it."""


SAMPLES = Stream("SAMPLES", (f"{ROOT}.sample.*",), "memory", "workqueue", 60, max_messages=1024, duplicate_window_s=60)
"""Refuses from 1,024 on, which one core embeds within 20 s: what is accepted is handled within its age."""
PROBES = Stream("PROBES", (f"{ROOT}.probe.*",), "memory", "workqueue", 60, max_messages=8192, duplicate_window_s=60)
CANDIDATES = Stream("CANDIDATES", (f"{ROOT}.candidates.*",), "memory", "workqueue", 600, max_messages=8192)
LONGEST_S = 31 * 24 * 3600.0
"""The longest that any profile may keep an alert. `govern` deletes them when their own profile says so."""
ALERTS = Stream("ALERTS", (f"{ROOT}.alert.*.*",), "file", "limits", LONGEST_S, duplicate_window_s=600)
SEEDS = Stream("SEEDS", (f"{ROOT}.seed.*.*",), "file", "limits", LONGEST_S, duplicate_window_s=600)
"""Alerts for people who walk past on purpose: counted, and never shown to operators as real."""
INTERVENTIONS = Stream(
    "INTERVENTIONS", (f"{ROOT}.intervention.*.*",), "file", "limits", LONGEST_S, duplicate_window_s=LONGEST_S
)
"""One that is made up for after a crash, however late, is a copy that the stream drops: it is never said twice."""
ADJUDICATIONS = Stream(
    "ADJUDICATIONS", (f"{ROOT}.adjudication.*.*",), "file", "limits", LONGEST_S, duplicate_window_s=LONGEST_S
)
AUDIT = Stream("AUDIT", (f"{ROOT}.audit.>",), "file", "limits", 0, append_only=True)
DEADLETTERS = Stream("DEADLETTERS", (f"{ROOT}.deadletter.*",), "file", "limits", 14 * 24 * 3600)
STREAMS = (SAMPLES, PROBES, CANDIDATES, ALERTS, SEEDS, INTERVENTIONS, ADJUDICATIONS, AUDIT, DEADLETTERS)


@dataclass(frozen=True)
class Bucket:
    """A key-value bucket; entries older than `ttl_s` go (0: never)."""

    name: str
    storage: Literal["memory", "file"]
    ttl_s: float = 0
    erasable: bool = False
    """Whether what is replaced or erased is overwritten in the server's files at once. NATS alone leaves it there."""


CAMERAS = Bucket("cameras", "file")
DEPLOYMENTS = Bucket("deployments", "file")
"""`DeploymentRecord`s, sealed by `govern`: who else can write the bucket cannot make one."""
WARRANTS = Bucket("warrants", "file")
WATCHLISTS = Bucket("watchlists", "file")
ENTRIES = Bucket("entries", "file", erasable=True)
NAMES = Bucket("names", "file", erasable=True)
CASE_RECORDS = Bucket("cases", "file", erasable=True)
PASSAGES = Bucket("passages", "file")
FACES = Bucket("faces", "file")
SEARCHES = Bucket("searches", "file")
HEADS = Bucket("heads", "file")
STATUS = Bucket("status", "file")
LEASES = Bucket("leases", "memory", ttl_s=5)
TRACKS = Bucket("tracks", "memory", ttl_s=3600)
COOLDOWNS = Bucket("cooldowns", "file", ttl_s=24 * 3600)
ATTEMPTS = Bucket("attempts", "memory", ttl_s=600)
BUCKETS = (
    *(CAMERAS, DEPLOYMENTS, WARRANTS, WATCHLISTS, ENTRIES, NAMES, CASE_RECORDS, PASSAGES, FACES, SEARCHES, HEADS),
    *(STATUS, LEASES, TRACKS, COOLDOWNS, ATTEMPTS),
)


@dataclass(frozen=True)
class Store:
    """An object store of portraits; what is older than `ttl_s` goes (0: never)."""

    name: str
    ttl_s: float = 0


ALERT_PORTRAITS = Store("alert-portraits", ttl_s=ALERTS.max_age_s)
"""Of people who may be on no list: they go with their alerts, erased by `govern`; the age is a net under that."""
REFERENCE_PORTRAITS = Store("reference-portraits")
PORTRAIT_STORES = (ALERT_PORTRAITS, REFERENCE_PORTRAITS)


def program(subject: str) -> str:
    """The name of the program that answers asks on a subject."""
    prefix = ".".join(subject.split(".")[:3])
    return PROGRAMS.get(prefix, prefix.rpartition(".")[2])


def address(message: Message) -> tuple[str, str]:
    """The subject a program publishes `message` on, and the id under which a second copy is recognised.

    Raises:
        TypeError: the message is not one that is published (it is asked, answered or stored).
    """
    tokens: tuple[str, ...]
    match message:
        case Sample() | Probe() | Candidates():
            tokens, message_id = (message.camera,), message.id
        case Alert():
            # with what nobody knows beforehand: whoever took the id first would have the stream drop the alert
            seen = repr((message.captured_at, message.score, message.portrait_sha256))
            tokens = (message.deployment, message.camera)
            message_id = f"{message.id}.{hashlib.sha256(seen.encode()).hexdigest()[:32]}"
        case Intervention():
            tokens, message_id = (message.deployment, message.camera), message.alert
        case Adjudication():
            tokens = (message.deployment, message.alert)
            message_id = f"{message.alert}.{message.event}.{message.officer}.{message.at:.6f}"
        case DeadLetter():
            return f"{ROOT}.deadletter.{message.stage}", f"dead.{message.stage}.{message.message_id}"
        case _:
            raise TypeError(f"{type(message).__name__} is not published")
    kind = "seed" if isinstance(message, Alert) and message.seed else message.kind()
    return ".".join((ROOT, kind, *tokens)), f"{message.kind()}.{message_id}"


def token(text: str) -> str:
    """Any text as one token of a key: itself where it can be, else a hash of it (which no other text has as itself)."""
    plain = re.fullmatch(r"(?!h_)[A-Za-z0-9_-]{1,64}", text)
    return text if plain else "h_" + hashlib.sha256(text.encode()).hexdigest()[:32]


def key(*parts: str) -> str:
    """The key of a record: its parts as tokens, joined by dots."""
    return ".".join(token(part) for part in parts)


def alert_portrait(alert: str) -> str:
    """Where the portrait of an alert lies."""
    return key("alert", alert)


def portrait_store(key: str) -> Store:
    """The store in which the portrait of that key lies."""
    return ALERT_PORTRAITS if key.startswith("alert.") else REFERENCE_PORTRAITS


def reference_portrait(watch_list: str, subject: str) -> str:
    """Where the portrait of a reference lies."""
    return key("reference", watch_list, subject)


def alerts_of(deployment: str) -> str:
    """The subject of all alerts of a deployment."""
    return f"{ROOT}.alert.{deployment}.*"


def seeds_of(deployment: str) -> str:
    """The subject of all alerts for seeds of a deployment."""
    return f"{ROOT}.seed.{deployment}.*"


def interventions_of(deployment: str) -> str:
    """The subject of all interventions of a deployment; `*` for all."""
    return f"{ROOT}.intervention.{deployment}.*"


def adjudications_of(deployment: str) -> str:
    """The subject of all that people decide about the alerts of a deployment; `*` for all."""
    return f"{ROOT}.adjudication.{deployment}.*"


def audit(event: str) -> str:
    """The subject of the audit entries of an event, for example `deployment.armed`."""
    return f"{ROOT}.audit.{event}"

"""Stand-ins for what a handler is given, so that it can be called as a plain function."""

import numpy as np

from libs.bus import Conflict
from libs.gallery import Candidate


class Deployments:
    """The deployments a stage knows: `known[key]`."""

    def __init__(self, *records):
        self.known = {record.deployment: record for record in records}

    async def find(self, key):
        return self.known.get(key)


class Shelf:
    """Records with revisions, as `libs.bus.Records`; `before_replacing` may be set to get in before a write, once."""

    def __init__(self):
        self.records = {}
        self.before_replacing = None

    async def get(self, key):
        return self.records.get(key)

    async def put(self, key, record):
        await self._let_in()
        _, revision = self.records.get(key, (None, 0))
        self.records[key] = record, revision + 1
        return revision + 1

    async def replace(self, key, record, revision):
        await self._let_in()
        _, current = self.records.get(key, (None, 0))
        if current != revision:
            raise Conflict(key)
        return await self.put(key, record)

    async def _let_in(self):
        if self.before_replacing is not None:
            intruder, self.before_replacing = self.before_replacing, None
            await intruder()


class Portraits:
    """Keeps portraits by key; a dropped one stays in `dropped`."""

    def __init__(self):
        self.kept = {}
        self.dropped = []

    async def put(self, key, jpeg):
        self.kept[key] = jpeg

    async def drop(self, key):
        self.dropped.append(key)
        self.kept.pop(key, None)


class Asked:
    """A bus whose asks are answered by functions, by subject; it keeps what was asked."""

    def __init__(self, **answers):
        self.portraits = Portraits()
        self.answers = answers
        self.asks = []

    async def ask(self, subject, message, expected, timeout_s=None):
        self.asks.append(message)
        reply = self.answers[subject.rpartition(".")[2]](message)
        assert isinstance(reply, expected)
        return reply


class Gallery:
    """A gallery that answers every search with `found`, and keeps what it was asked to do."""

    def __init__(self, *found, references=1000):
        self.found = [Candidate("wanted", subject, f"{subject}/front", score) for subject, score in found]
        self.references_each = references
        self.searches = []
        self.enrolled = []

    async def search(self, watch_lists, templates, k):
        self.searches.append((tuple(watch_lists), templates, k))
        return [self.found[:k] for _ in templates]

    async def count(self, _watch_list):
        return self.references_each

    async def enrol(self, watch_list, references):
        self.enrolled += [(watch_list, reference) for reference in references]


def template_of(chips):
    """What the fake embedder answers: the mean colour of each half of a chip, so that a mirrored chip differs."""
    left = chips[:, :, :56].reshape(len(chips), -1, 3).mean(axis=1)
    right = chips[:, :, 56:].reshape(len(chips), -1, 3).mean(axis=1)
    both = np.concatenate([left, right], axis=1).astype(np.float32) + 1
    return both / np.linalg.norm(both, axis=1, keepdims=True)

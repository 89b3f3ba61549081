"""What is wrong with the lists of a deployment that runs: nobody is found who is on one of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from libs.bus import AskError
from libs.errors import TransientError
from proto import subjects
from proto.deployments import DeploymentRecord
from proto.requests.deployments import DeploymentReply
from proto.requests.listing import ListRequest
from proto.requests.watchlists import ListsReply
from proto.watchlists import WatchListRecord
from services.cli.client import Client

SEARCHING = ("armed", "suspended")


async def lists_by_name(client: Client) -> dict[str, WatchListRecord] | None:
    """All watch lists; `None` where the program `match`, which has them, does not answer."""
    try:
        known = await client.ask(f"{subjects.WATCHLIST}.list", ListRequest(of=""), ListsReply)
    except (TransientError, AskError):
        return None
    return {each.id: each for each in known.records}


def with_list_warnings(
    reply: DeploymentReply, known: Mapping[str, WatchListRecord] | None, now: float
) -> DeploymentReply:
    """The reply, and what is wrong with the lists of the deployment where it is armed or suspended."""
    if reply.record.state not in SEARCHING:
        return reply
    if known is None:
        found = ["the program match does not answer: nothing is known of its lists, and none is searched"]
    else:
        found = list(list_warnings(reply.record, known, now))
    return reply.model_copy(update={"warnings": (*found, *reply.warnings)})


def list_warnings(record: DeploymentRecord, known: Mapping[str, WatchListRecord], now: float) -> Iterator[str]:
    """Which lists of the deployment are not searched, or have nobody on them, each with its remedy."""
    for name in (*record.draft.watch_lists, *record.draft.seed_lists):
        watch_list = known.get(name)
        if watch_list is None:
            yield f"there is no watch list {name}: end the deployment, and draft another with a list that there is"
        elif not record.binding.is_of(watch_list):
            yield f"watch list {name} is not the one that was armed, nor searched: end the deployment, draft another"
        elif watch_list.state == "importing":
            yield f"watch list {name} is being imported and not searched: complete the import, or take it back"
        elif watch_list.state == "aborting":
            yield f"watch list {name} is not searched while its import is being taken back: look again in a moment"
        elif watch_list.state != "ready":
            yield f"watch list {name} is {watch_list.state} and not searched: end the deployment, and draft another"
        elif watch_list.form.expires_at <= now:
            yield f"watch list {name} has expired and is not searched: end the deployment, and draft another"
        elif not watch_list.references:
            yield f"watch list {name} is empty: import those who are sought, with `watchline watchlist import`"

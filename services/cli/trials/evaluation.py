"""An evaluation: own recorded footage under the profile `evaluation`, with officers who are thrown away after it.

Their keys exist in this process alone. The roster of the stack names them, one a role, under that profile and no other.
Whatever they do they do by signed acts, as everyone, and the records and locks are those of every deployment.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from libs.bus import Bus
from libs.errors import PermanentError
from libs.log import Log
from libs.officers import Role
from libs.seals import Signer
from proto import subjects
from proto.deployments import DeploymentDraft, Zone
from proto.requests.deployments import DeploymentsReply
from proto.requests.listing import ListRequest
from proto.requests.watchlists import ListsReply
from proto.watchlists import WatchListForm
from services.cli.client import Client
from services.cli.machine.data_dir import REPLAY_ID
from services.cli.machine.stack import Stack, StackOptions, open_stack
from services.cli.patience import insist
from services.cli.trials.course import TO_PURGED, Course

PROFILE = "evaluation"
STAMP = "EVALUATION"
"""What the profile has written on every alert and report."""
ROLES: tuple[Role, ...] = ("drafter", "authoriser", "commander", "list_manager", "operator")
LONGEST_S = 24 * 3600.0
"""The list and the deployment of an evaluation end by themselves after a day at the latest."""
CLOCKS_S = 1.0
"""The deployment starts so long before now, lest a clock of the same machine be behind it."""


class Officers:
    """The officers of one evaluation, one a role, with keys in memory alone."""

    def __init__(self) -> None:
        self._signers = {role: Signer.generate(f"evaluation-{role.replace('_', '-')}") for role in ROLES}

    def __getitem__(self, role: Role) -> Signer:
        return self._signers[role]

    def roster(self) -> str:
        """The roster that names them, as TOML."""
        return "\n".join(
            f'[officers.{signer.name}]\npublic_key = "{signer.public}"\nroles = ["{role}"]\nprofiles = ["{PROFILE}"]\n'
            for role, signer in self._signers.items()
        )


@dataclass(frozen=True)
class Evaluation:
    """A running stack and the officers who may act on it."""

    stack: Stack
    officers: Officers

    @property
    def bus(self) -> Bus:
        """The bus of the stack."""
        return self.stack.bus

    def client(self, role: Role) -> Client:
        """The officer of that role, at the bus."""
        return Client(self.bus, self.officers[role])

    def course(self, name: str) -> Course:
        """The list and the deployment of that name."""
        return Course(name, self.client)


@asynccontextmanager
async def open_evaluation(options: StackOptions, log: Log) -> AsyncIterator[Evaluation]:
    """A stack on which evaluations can be run while the block runs; what killed ones left there is purged first.

    Raises:
        UserError: as `open_stack`.
        TransientError: the bus or a service was away for long.
    """
    officers = Officers()
    with tempfile.TemporaryDirectory(prefix="watchline-evaluation-") as folder:
        roster = Path(folder) / "officers.toml"
        roster.write_text(officers.roster())
        async with open_stack(replace(options, officers=roster, purpose="evaluation"), log) as stack:
            evaluation = Evaluation(stack, officers)
            for name in await cut_off(evaluation.client("commander")):
                try:
                    await purge(evaluation.course(name))
                except PermanentError as error:
                    options.on_event(name, f"was cut off, and could not be purged ({error.reason})")
            yield evaluation


async def purge(course: Course) -> None:
    """Ends and purges a deployment, and destroys its list. Raises `TransientError`, `AskError`."""
    await course.go(TO_PURGED)
    await course.destroy_list()


async def cut_off(client: Client) -> list[str]:
    """The names of evaluations that were killed, from their lists and deployments. Raises `TransientError`."""
    ask = partial(client.ask, request=ListRequest(of=""))
    lists = await insist(partial(ask, f"{subjects.WATCHLIST}.list", expected=ListsReply))
    deployments = await insist(partial(ask, f"{subjects.DEPLOYMENT}.list", expected=DeploymentsReply))
    names = {record.id for record in lists.records if record.state != "destroyed"}
    names |= {record.id for record in deployments.records if record.state not in ("refused", "purged")}
    return sorted(name for name in names if REPLAY_ID.fullmatch(name))


def list_form(name: str) -> WatchListForm:
    """The list of an evaluation, made now."""
    return WatchListForm(
        watch_list=name,
        profile=PROFILE,
        purpose="evaluation on the operator's own recordings",
        owner="the operator of this machine",
        category="evaluation",
        response="green",
        lawful_basis="the references were chosen by the operator, who answers for them",
        criteria="every image of the folder of references",
        expires_at=time.time() + LONGEST_S,
    )


def draft(name: str, cameras: Mapping[str, Zone], threshold: float, cooldown_s: float) -> DeploymentDraft:
    """The deployment of an evaluation, from now on."""
    starts_at = float(int(time.time() - CLOCKS_S))  # a whole second: its end is a day later to the bit
    return DeploymentDraft(
        deployment=name,
        profile=PROFILE,
        purpose="evaluation on the operator's own recordings",
        legal_basis="the recordings are the operator's own",
        strict_necessity="what the pipeline finds can only be measured by running it",
        alternatives="none: nobody is identified in public",
        location="recordings on this machine",
        cameras=dict(cameras),
        watch_lists=(name,),
        threshold=threshold,
        cooldown_s=cooldown_s,
        starts_at=starts_at,
        ends_at=starts_at + LONGEST_S,
    )

"""A `govern` and a `match` that answer in this process: what a course of acts meets, without a bus."""

from __future__ import annotations

import time

from libs.bus import AskError
from libs.errors import TransientError
from libs.officers import Roster
from libs.seals import Signer
from proto.deployments import DeploymentRecord
from proto.requests.deployments import DeploymentReply, DeploymentsReply, DraftRequest, TransitionRequest
from proto.requests.watchlists import CreateListRequest, DestroyListRequest, ListReply, ListsReply
from proto.watchlists import WatchListRecord
from services.cli.client import Client
from services.cli.trials.evaluation import Officers

RESULTS = {"authorise": "authorised", "refuse": "refused", "arm": "armed", "suspend": "suspended", "end": "ended",
           "purge": "purged"}  # fmt: skip
ROLES = {"create": "list_manager", "destroy": "list_manager", "draft": "drafter", "authorise": "authoriser",
         "refuse": "authoriser", "arm": "commander", "end": "commander", "purge": "commander"}  # fmt: skip


class Site:
    """Keeps the acts that were carried out in `acts`, as (verb, who).

    The next `unheard` asks are not heard, the answers to the next `unanswered` acts are lost.
    """

    def __init__(self, folder):
        self.officers = Officers()
        path = folder / "officers.toml"
        path.write_text(self.officers.roster())
        self.roster = Roster(path, Signer.generate("govern").public, time.time)
        self.lists, self.deployments, self.acts = {}, {}, []
        self.unheard = self.unanswered = 0
        self.before_act = lambda: None

    def client(self, role):
        return Client(self, self.officers[role])

    def deployment(self, name, state):
        """Puts a deployment there that is in `state`."""
        record = DeploymentRecord.model_construct(record_version=1, state=state, deeds=(), deleting=False)
        self.deployments[name] = record

    async def ask(self, subject, message, _expected, _timeout_s=None):
        if self.unheard > 0:
            self.unheard -= 1
            raise TransientError("nobody answered", delay_s=0.001)
        service, verb = subject.split(".")[-2:]
        answer = getattr(self, f"_{service}_{verb}")(message)
        if message.kind() == "sealed" and self.unanswered > 0:
            self.unanswered -= 1
            raise TransientError("the answer was lost", delay_s=0.001)
        return answer

    def _act(self, sealed, kind, verb=""):
        self.before_act()
        signed = self.roster.check(sealed, kind, {ROLES[verb]} if verb else set(ROLES.values()))
        return signed.request, signed.who

    def _watchlist_show(self, message):
        if message.of not in self.lists:
            raise AskError("show", "404", "there is no such list")
        return ListReply(record=self.lists[message.of])

    def _watchlist_list(self, _message):
        return ListsReply(records=tuple(self.lists.values()))

    def _watchlist_create(self, sealed):
        request, who = self._act(sealed, CreateListRequest, "create")
        if request.form.watch_list in self.lists:
            raise AskError("create", "409", "there is such a list")
        self.acts.append(("create", who))
        record = WatchListRecord(
            form=request.form, record_version=1, state="ready", deeds=(), created_at=0, template_version="v1"
        )
        self.lists[record.id] = record
        return ListReply(record=record)

    def _watchlist_destroy(self, sealed):
        request, who = self._act(sealed, DestroyListRequest, "destroy")
        self.acts.append(("destroy", who))
        record = self.lists[request.watch_list].model_copy(update={"state": "destroyed"})
        self.lists[request.watch_list] = record
        return ListReply(record=record)

    def _deployment_list(self, _message):
        return DeploymentsReply(records=tuple(self.deployments.values()))

    def _deployment_show(self, message):
        if message.deployment not in self.deployments:
            raise AskError("show", "404", "there is no such deployment")
        return DeploymentReply.model_construct(record=self.deployments[message.deployment])

    def _deployment_draft(self, sealed):
        request, who = self._act(sealed, DraftRequest, "draft")
        if request.draft.deployment in self.deployments:
            raise AskError("draft", "409", "it was drafted before")
        self.acts.append(("draft", who))
        record = DeploymentRecord(draft=request.draft, record_version=1, state="draft", deeds=())
        self.deployments[request.draft.deployment] = record
        return DeploymentReply(record=record)

    def _deployment_transition(self, sealed):
        request, _ = self._act(sealed, TransitionRequest)
        record = self.deployments[request.deployment]
        who = self.roster_check_role(sealed.signer, request.verb)
        if record.record_version != request.record_version:
            raise AskError("transition", "409", f"the record is at version {record.record_version}")
        self.acts.append((request.verb, who))
        self.change(request.deployment, RESULTS[request.verb])
        return DeploymentReply.model_construct(record=self.deployments[request.deployment])

    def roster_check_role(self, who, verb):
        assert ROLES[verb] in self.roster.officers()[who].roles
        return who

    def change(self, name, state, **more):
        record = self.deployments[name]
        changes = {**more, "state": state, "record_version": record.record_version + 1}
        self.deployments[name] = record.model_copy(update=changes)

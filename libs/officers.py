"""Who may do what: the roster of officers, and the check of an act against it.

The roster is a TOML file that the site keeps, one table an officer:

    [officers.a-jones]
    public_key = "64 hexadecimal digits, from `watchline officer new`"
    roles = ["operator"]
    rank = "constable"              # where a profile asks for one
    profiles = ["uk-police"]        # under which the officer may act; all of the site's without it

It is read again when it changes. An act that its officer did not sign, that is old, or that came before is refused.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from libs.errors import PermanentError, UserError
from libs.log import Log
from libs.seals import PublicKey, Signer
from libs.toml import read_toml
from libs.wording import user_error
from proto import codec
from proto.audit import Deed
from proto.messages import Message
from proto.sealed import GOVERN, NONCE_BYTES, Act, OfficerId, Sealed

M = TypeVar("M", bound=Message)
Role = Literal["drafter", "authoriser", "commander", "list_manager", "operator", "auditor"]

FRESH_S = 120.0
"""How far the clock of an officer's machine may be from ours, and how long an act is remembered."""
SKEW_S = 5.0
"""How much older than this program an act may be: nobody knows which ones came before that."""


class ForbiddenError(PermanentError):
    """An act by someone who may not do it."""

    code = "403"


class Officer(BaseModel):
    """One officer of the roster."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    public_key: str
    roles: frozenset[Role] = Field(min_length=1)
    rank: str = ""
    profiles: frozenset[str] | None = None
    """Under which the officer may act; `None` is all."""

    @field_validator("public_key")
    @classmethod
    def _is_a_key(cls, text: str) -> str:
        return str(PublicKey.parse(text))

    @property
    def key_sha256(self) -> str:
        """SHA-256 of the public key: who has it is one person, under whatever names."""
        return hashlib.sha256(self.public_key.encode()).hexdigest()

    def may_act_under(self, profile: str) -> bool:
        """Whether the officer may act in deployments of that profile."""
        return self.profiles is None or profile in self.profiles


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    officers: dict[OfficerId, Officer] = {}


@dataclass(frozen=True)
class Signed(Generic[M]):
    """A request whose officer is known: who asked, with which rights, and the deed to write down."""

    request: M
    who: str
    officer: Officer | None
    """`None` for the system itself."""
    act: Act
    sealed: bytes
    """The act as it was sealed, encoded: what shows to others whose it is."""
    sha256: str
    """Of `sealed`."""

    @property
    def key_sha256(self) -> str:
        """Of the officer's public key; empty for the system itself."""
        return self.officer.key_sha256 if self.officer is not None else ""

    def deed(self, verb: str, reason: str = "") -> Deed:
        """The act as records and the audit name it."""
        return Deed(who=self.who, verb=verb, at=self.act.at, origin=self.act.origin, reason=reason, act=self.sha256)

    def must_be_one_of(self, roles: Collection[Role]) -> None:
        """Does nothing where the officer has one of `roles`: for requests of which some need others than the rest.

        Raises:
            ForbiddenError: the officer has none.
        """
        if self.officer is not None and not self.officer.roles & set(roles):
            raise ForbiddenError(f"{self.who} is not one of: {', '.join(sorted(roles))}")

    def must_act_under(self, profile: str) -> None:
        """Does nothing where the officer may act under the profile.

        Raises:
            ForbiddenError: the officer may not.
        """
        if self.officer is not None and not self.officer.may_act_under(profile):
            raise ForbiddenError(f"{self.who} may not act under the profile {profile}")


def sign(signer: Signer, request: Message, clock: Callable[[], float] = time.time) -> Sealed:
    """`request` as an act of the signer, made here and now."""
    act = Act(
        officer=signer.name,
        at=clock(),
        nonce=secrets.token_bytes(NONCE_BYTES),
        origin=socket.gethostname()[:128],
        holds=request.kind(),
        request=codec.encode(request),
    )
    return signer.seal(act)


def read_officers(path: Path) -> dict[str, Officer]:
    """The officers in a roster, by id.

    Raises:
        UserError: it cannot be read or holds something else.
    """
    called = f"the roster of officers {path}"
    try:
        return _File.model_validate(read_toml(path, "set WATCHLINE_TRUST_OFFICERS to the file", called)).officers
    except ValidationError as error:
        raise user_error(error, called) from None


class Roster:
    """The officers in a file, and the acts that were seen lately.

    While the file is being written, or holds something else, the officers stay those that it named last.
    """

    def __init__(
        self, path: Path, govern: PublicKey, clock: Callable[[], float] = time.time, log: Log | None = None
    ) -> None:
        self._path = path
        self._log = log or structlog.get_logger()
        self._govern = govern
        self._clock = clock
        self._read_at: tuple[int, int] | None = None
        self._officers: dict[str, Officer] | None = None
        self._began = clock()
        self._seen: dict[bytes, float] = {}

    def officers(self) -> dict[str, Officer]:
        """The officers by id, as the file has them now, or had them when it last held a roster.

        Raises:
            UserError: it has never held one, since this program started.
        """
        try:
            stat = self._path.stat()
            state = stat.st_mtime_ns, stat.st_size
        except OSError:
            state = None
        if self._officers is None or state != self._read_at:
            self._read(state)
        if self._officers is None:
            raise UserError(f"the roster of officers {self._path} cannot be read", "see the log, and mend the file")
        return self._officers

    def _read(self, state: tuple[int, int] | None) -> None:
        """Reads the file, which is in that state. Raises `UserError` where nothing was ever read from it."""
        try:
            self._officers = read_officers(self._path)
        except UserError as error:
            if self._officers is None:
                raise
            self._log.error("roster.kept", problem=error.problem)
        self._read_at = state

    def check(self, sealed: Sealed, expected: type[M], roles: Collection[Role]) -> Signed[M]:
        """The request in a sealed act, by an officer who has one of `roles`.

        Raises:
            ForbiddenError: the officer is unknown, has none of the roles, or did not sign; or the act is old or a copy.
            SealError: it is no act.
            DecodeError: the act holds no such request.
        """
        officer, key = self._who(sealed.signer)
        act = key.open(sealed, Act, sealed.signer)
        if act.officer != sealed.signer or act.holds != expected.kind():
            raise ForbiddenError(f"{sealed.signer} signed another act")
        if officer is not None and not officer.roles & set(roles):
            raise ForbiddenError(f"{act.officer} is not one of: {', '.join(sorted(roles))}")
        request = codec.decode(expected, act.request)
        self._see(act)
        encoded = codec.encode(sealed)
        return Signed(request, act.officer, officer, act, encoded, hashlib.sha256(encoded).hexdigest())

    def open(self, sealed: Sealed) -> Act:
        """The act in `sealed`, however old: what shows that an officer of the roster has signed it, and no more.

        Raises:
            ForbiddenError: the officer is unknown.
            SealError: it is no act that this officer signed.
        """
        _, key = self._who(sealed.signer)
        act = key.open(sealed, Act, sealed.signer)
        if act.officer != sealed.signer:
            raise ForbiddenError(f"{sealed.signer} signed the act of another")
        return act

    def _who(self, signer: str) -> tuple[Officer | None, PublicKey]:
        if signer == GOVERN:
            return None, self._govern
        try:
            officer = self.officers().get(signer)
        except UserError as error:
            raise ForbiddenError(f"nobody can act now: {error.problem}") from None
        if officer is None:
            raise ForbiddenError(f"{signer} is not on the roster of officers")
        return officer, PublicKey.parse(officer.public_key)

    def _see(self, act: Act) -> None:
        """Notes an act that is fresh and new.

        Raises:
            ForbiddenError: it is neither.
        """
        now = self._clock()
        if abs(now - act.at) > FRESH_S:
            raise ForbiddenError(f"the act was signed {now - act.at:.0f} s ago by its officer's clock: mend the clock")
        if act.at < self._began - SKEW_S:
            raise ForbiddenError("the act was signed before this program started, and may be done already: repeat it")
        self._forget_before(now - 2 * FRESH_S)
        if act.nonce in self._seen:
            raise ForbiddenError("the act came before: a copy of it was sent")
        self._seen[act.nonce] = now

    def _forget_before(self, then: float) -> None:
        """Drops the acts that were seen before `then`, which nobody can send again; they lie in the order they came."""
        while self._seen and next(iter(self._seen.values())) <= then:
            del self._seen[next(iter(self._seen))]

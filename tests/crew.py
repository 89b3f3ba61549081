"""Officers for tests, one a role, with keys of their own and a roster that names them; and the key of govern."""

from __future__ import annotations

from pathlib import Path

from libs.officers import Roster, sign
from libs.seals import Signer

ROLES = {
    "a-jones": "drafter",
    "b-smith": "authoriser",
    "c-brown": "commander",
    "d-green": "operator",
    "e-white": "operator",
    "f-black": "auditor",
    "l-stone": "list_manager",
}


class Crew:
    """`crew["b-smith"]` is that officer's signer; the private keys lie in `keys`, as the command line wants them."""

    def __init__(self, folder: Path) -> None:
        self.govern = Signer.generate("govern")
        self.keys = folder / "keys"
        self.govern_key = folder / "govern.key"
        self.roster_path = folder / "officers.toml"
        self._signers = {name: Signer.generate(name) for name in ROLES}
        self.govern.save(self.govern_key)
        for name, signer in self._signers.items():
            signer.save(self.keys / f"{name}.key")
        self.write_roster()

    def __getitem__(self, name: str) -> Signer:
        return self._signers[name]

    def write_roster(self, **changes: str) -> None:
        """Writes the roster; `changes` are further lines of an officer's table, by name with `_` for `-`."""
        tables = [
            f'[officers.{name}]\npublic_key = "{self[name].public}"\nroles = ["{role}"]\nrank = "superintendent"\n'
            + changes.get(name.replace("-", "_"), "")
            for name, role in ROLES.items()
        ]
        self.roster_path.write_text("\n".join(tables))

    def dismiss(self, name: str) -> None:
        """Takes an officer off the roster."""
        tables = self.roster_path.read_text().split("[officers.")
        self.roster_path.write_text("[officers.".join(table for table in tables if not table.startswith(f"{name}]")))

    def renew(self, name: str) -> None:
        """Gives an officer a new key."""
        self._signers[name] = Signer.generate(name)
        self.write_roster()

    def roster(self, clock) -> Roster:
        return Roster(self.roster_path, self.govern.public, clock)

    def act(self, name, request, clock):
        """`request` as a sealed act of that officer, at the time of `clock`."""
        return sign(self.govern if name == "govern" else self[name], request, clock)

    def environment(self) -> dict[str, str]:
        """What programs are told of whom they may trust, and where the command line finds the keys."""
        return {
            "WATCHLINE_TRUST_PUBLIC_KEY": str(self.govern.public),
            "WATCHLINE_TRUST_OFFICERS": str(self.roster_path),
            "WATCHLINE_GOVERN_KEY": str(self.govern_key),
            "WATCHLINE_KEYS": str(self.keys),
        }

"""How `govern` signs, and how often it looks whether something is due."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from libs.settings import group


class GovernSettings(BaseSettings):
    """One group: everything `govern` does rests on its key and its clock."""

    model_config = group("GOVERN")
    key: Path = Path("govern.key")
    """Its private key, readable by it alone. Who has it can arm: keep it where only this program runs."""
    profiles: Path | None = None
    """A folder of policy profiles of the site, `*.toml`, beside those that ship with the product."""
    sweep_s: float = Field(default=5.0, gt=0)
    """How often it looks what has ended, what must be deleted, and which alert nobody has answered, in seconds."""

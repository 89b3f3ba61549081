"""The key pair of `govern` on a single machine: made once, where this user alone can read it."""

from __future__ import annotations

from pathlib import Path

from libs.seals import Signer
from proto.sealed import GOVERN


def govern_key_path(data_dir: Path) -> Path:
    """Where the private key of `govern` lies. Who can read it can arm."""
    return data_dir / "keys" / "govern.key"


def govern_signer(data_dir: Path) -> Signer:
    """`govern` with its key in `data_dir`, which is made at the first call.

    The key is written whole or not at all: a stack that is killed meanwhile leaves none that will not do.

    Raises:
        UserError: the key can be read by others, is none, or cannot be written.
    """
    path = govern_key_path(data_dir)
    if not path.exists():
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        Signer.generate(GOVERN).save(scratch)
        scratch.replace(path)
    return Signer.load(GOVERN, path)

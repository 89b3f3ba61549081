"""Files that hold what is not for everybody: written whole or not at all, readable by their owner alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from libs.errors import UserError


def write_private(path: Path, content: str | bytes, what: str) -> Path:
    """Writes `content` to `path`, replacing what is there; returns `path`. `what` names the file in an error.

    Raises:
        UserError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mkstemp's mode is 0600
        scratch = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        remedy = "choose a folder that can be written"
        if path.parent.exists() and not path.parent.is_dir():
            remedy = f"{path.parent} is a file: name a folder"
        problem = f"{what} cannot be written to {path} ({error.strerror or error})"
        raise UserError(problem, remedy) from error
    return path

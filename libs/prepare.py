"""Rewrites a published ONNX file, once, into the form our sessions run fastest, and caches the result.

The published block-quantised files keep every weight behind a `DequantizeLinear`, which onnxruntime computes
again on every run. What is done about it, and more, is in libs/rewrites.py.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from libs.errors import UserError

if TYPE_CHECKING:
    from libs.assets import AssetStore

REWRITE_VERSION = 1
"""Raised with every change of libs/rewrites.py that changes a graph, so that no stale one is ever used."""


def prepared_path(store: AssetStore, name: str) -> Path:
    """Returns the path of the prepared form of the model asset `name`, prepared now if it was not yet.

    Raises: UserError if the asset is missing or altered, or if the cache cannot be written.
    """
    asset = store.asset(name)
    return prepare(store.path(name), asset.rewrite, store.cache_dir / "prepared")


def prepare(source: Path, rewrite: str, folder: Path) -> Path:
    """Returns the path in `folder` of `source` rewritten by the rewrite of that name.

    The file name ends in the sha256 of the content, which is checked at every call: a damaged file is made
    anew.
    """
    source_sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    stem = f"{source.stem}-{source_sha256[:12]}-{rewrite}{REWRITE_VERSION}"
    for known in sorted(folder.glob(f"{stem}-*.onnx")):
        if hashlib.sha256(known.read_bytes()).hexdigest() == known.stem.rpartition("-")[2]:
            return known
        known.unlink(missing_ok=True)
    from libs.rewrites import rewrite_file  # noqa: PLC0415  onnx is wanted once in the life of a model

    content = rewrite_file(source, rewrite)
    target = folder / f"{stem}-{hashlib.sha256(content).hexdigest()}.onnx"
    _write_whole(target, content)
    return target


def _write_whole(target: Path, content: bytes) -> None:
    """Writes `target` so that another process sees either nothing or all of it.

    Raises: UserError if the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=target.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).replace(target)
    except OSError as error:
        raise UserError(
            f"cannot write the prepared model {target}: {error.strerror}",
            "make the folder writable or point WATCHLINE_CACHE to one that is",
        ) from error

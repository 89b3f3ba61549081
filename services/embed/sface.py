"""Adapter of SFace (libs/rewrites.py: `rewrite_sface`): aligned chips in, templates out."""

from __future__ import annotations

import numpy as np

from libs.geometry import CHIP_SIDE_PX, Floats, Image
from libs.inference import Session

TEMPLATE_VERSION = "sface-2021dec"
"""Templates of different versions are never compared: each has its own collection."""

TEMPLATE_LENGTH = 128
"""Numbers in a template."""


class SFace:
    """The embedder on a session of the prepared model."""

    template_version = TEMPLATE_VERSION

    def __init__(self, session: Session) -> None:
        self._session = session

    def embed(self, chips: Image) -> Floats:
        """Returns the templates (n, 128), each of length 1, of RGB chips (n, 112, 112, 3)."""
        if len(chips) == 0:
            return np.zeros((0, TEMPLATE_LENGTH), np.float32)
        if chips.shape[1:] != (CHIP_SIDE_PX, CHIP_SIDE_PX, 3):
            raise ValueError(f"chips must be (n, {CHIP_SIDE_PX}, {CHIP_SIDE_PX}, 3), not {chips.shape}")
        (templates,) = self._session.run({"pixels": np.ascontiguousarray(chips)})
        normalised: Floats = templates / np.linalg.norm(templates, axis=1, keepdims=True)
        return normalised

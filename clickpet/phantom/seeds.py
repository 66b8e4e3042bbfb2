"""Random generators of the phantom: one for each purpose, so that one more draw here changes nothing there."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *words: str) -> np.random.Generator:
    """The generator of one purpose: `seed` and `words` (patient or case, and what is drawn) decide its numbers."""
    digest = hashlib.sha256("\n".join([str(seed), *words]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))

"""Digests of network weights, and checkpoints held against the digests that were recorded with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clickpet.errors import InputError
from clickpet.files import read_json, write_json

if TYPE_CHECKING:
    import torch

#: Beside a fold's checkpoint after its training, and beside all folds of an imported model.
TRAINING, IMPORT = "training.json", "import.json"


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Hash of a state dict: names, shapes, kinds and values (16 hex digits of SHA-256).

    The file of a checkpoint tells when it was made, too; equal networks have equal digests.
    """
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).numpy())
    return digest.hexdigest()[:16]


def recorded_digest(checkpoint: str | Path) -> str | None:
    """The digest that training or import recorded of a checkpoint {model}/fold_{fold}/{file}; None if there is none."""
    fold = Path(checkpoint).parent
    training = _read(fold / TRAINING)
    if "weights" in training:
        return str(training["weights"])
    imported = _read(fold.parent / IMPORT).get("folds")
    entry = imported.get(fold.name.removeprefix("fold_")) if isinstance(imported, dict) else None
    return str(entry["weights"]) if isinstance(entry, dict) and "weights" in entry else None


def check_recorded(checkpoint: str | Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise InputError if `weights`, read from the file `checkpoint`, are not those that were trained or imported.

    Weights are hashed once and again when the file has changed: a note beside it (`.{name}.checked.json`) says for
    which state of the file it was done. Where the folder is read-only they are hashed each time.
    """
    path = Path(checkpoint)
    expected = recorded_digest(path)
    if expected is None:
        return
    found = path.stat()
    note = {"weights": expected, "file": [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]}
    note_file = path.with_name(f".{path.name}.checked.json")
    if _read(note_file) == note:
        return
    digest = weights_digest(weights)
    if digest != expected:
        raise InputError(
            f"is another network than the one that was recorded with it (digest {digest}, recorded {expected})",
            where=path,
            mend="train, import or copy this fold again, with all files of its folder",
        )
    with suppress(OSError):  # it only saves time
        write_json(note_file, note)


def _read(path: Path) -> dict:
    """A JSON object; empty if there is none."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

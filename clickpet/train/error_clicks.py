"""Training on the network's own errors: passes without gradient, each followed by a correction in the click channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from clickpet.clicks.model import Interaction
from clickpet.train.corrections import CODES, draw_correction
from clickpet.train.options import CorrectionOptions
from clickpet.train.patch_heatmap import add_correction
from clickpet.train.stored_clicks import StoredClicks

#: Channel of the clicks, after CT and PET, and that of the mask before the last correction, where there is one.
CLICKS, MASK = 2, 3


class ErrorClicks:
    """Shows the patches of a share of the batches corrections of what the network gets wrong in them.

    Batches are chosen whole: a pass of one patch costs a CPU more than one of two, and a GPU keeps one shape.
    options : how many;  drawing_of : gives how the clicks of a case are drawn, by its name;  slice_axis : axis of the
    patches along which slices are axial.
    """

    def __init__(self, options: CorrectionOptions, drawing_of: Callable[[str], StoredClicks], *, slice_axis: int = 0):
        self.options = options
        self.slice_axis = slice_axis
        self._drawing_of = drawing_of
        self._drawings: dict[str, StoredClicks] = {}

    def rounds(self, rng: np.random.Generator) -> int:
        """How many corrections the patches of a batch get; 0 for those that are not chosen."""
        return int(rng.integers(1, self.options.rounds + 1)) if rng.random() < self.options.share else 0

    @torch.no_grad()
    def __call__(self, batch: dict, network: nn.Module, rng: np.random.Generator, *, rounds: int) -> dict:
        """A batch as the training step takes it, of one whose images end with a channel of SUV (-inf: outside).

        batch : "data" float32 (batch, CT PET clicks SUV, z, y, x), or with a mask of nothing before SUV; "target"
        (batch, lesion ..., z, y, x) or a list of them, finest first; "keys" (names of the cases); all on the device of
        `network`, which is left as it was. Written to are the click channel and that of the mask: what was predicted
        before the last correction.  rng : the only source of random numbers.  rounds : of a pass and a correction in
        each patch; a patch without error is left alone from then on.
        """
        data, target, keys = batch["data"], batch["target"], batch["keys"]
        images, suvs = data[:, :-1], data[:, -1]
        with_mask = images.shape[1] > MASK
        truths = (target[0] if isinstance(target, list) else target)[:, 0] == 1
        left = set(range(len(images)))
        for _ in range(rounds):
            predicted = predict_patches(network, images)
            for place in sorted(left):
                if not self._correct(
                    images[place, CLICKS], suvs[place], truths[place], predicted[place], keys[place], rng
                ):
                    left.remove(place)
                elif with_mask:
                    images[place, MASK] = predicted[place]
            if not left:
                break
        return {**batch, "data": images.contiguous()}

    def _correct(self, heatmap, suv, truth, predicted, key: str, rng: np.random.Generator) -> bool:
        """Add a correction to the heatmap of one patch; False if there is nothing to correct."""
        errors = torch.zeros_like(truth, dtype=torch.uint8)
        inside = ~torch.isneginf(suv)
        errors[truth & ~predicted & inside] = CODES["tumor"]
        errors[predicted & ~truth & inside] = CODES["background"]
        box, first = _box(errors)
        if box is None:
            return False
        correction = draw_correction(
            errors[box].cpu().numpy(), rng, scribbles=self.options.scribbles, slice_axis=self.slice_axis
        )
        correction = Interaction(correction.kind, correction.points + first)
        add_correction(heatmap, suv, correction, self._drawing(key))
        return True

    def _drawing(self, key: str) -> StoredClicks:
        if key not in self._drawings:
            self._drawings[key] = self._drawing_of(key)
        return self._drawings[key]


def predict_patches(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Where `network` sees lesion: bool (batch, z, y, x); in evaluation mode, and left in the mode that it was in.

    Evaluation mode touches no statistics of normalisation layers and draws no random number.
    """
    with _evaluating(network), torch.autocast(images.device.type, enabled=images.device.type == "cuda"):
        logits = network(images)
    logits = logits[0] if isinstance(logits, list | tuple) else logits
    return logits[:, 1] > logits[:, 0]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _box(values: torch.Tensor) -> tuple[tuple[slice, ...] | None, np.ndarray]:
    """Bounding box of what is not 0 in (z, y, x), None if nothing is, and its first voxel."""
    spans = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        hit = torch.nonzero((values != 0).any(others[1]).any(others[0]))
        if not len(hit):
            return None, np.zeros(3, np.int64)
        spans.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(spans), np.array([span.start for span in spans])

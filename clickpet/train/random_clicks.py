"""Preprocessed cases whose click channel is drawn when a patch is read, with a random number of their clicks."""

from __future__ import annotations

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from clickpet.errors import InputError
from clickpet.nnunet.stored_case import read_properties
from clickpet.train.stored_clicks import RECORD, Box, StoredClicks

#: Channels of the network's input before the clicks: CT and PET.
IMAGE_CHANNELS = 2


class RandomClicksDataset(nnUNetDatasetBlosc2):
    """Preprocessed cases whose click channel shows 0 to all of the clicks, drawn anew for every patch.

    The stored data hold CT, PET and SUV (`scripts/preprocess_case.py`), the properties the clicks; what the loader sees
    is CT, PET and one heatmap.

    with_mask : a mask of nothing follows the heatmap;  with_suv : SUV comes last, for those that draw more clicks into
    the patch;  without_clicks : share of the
    patches that show no click, the others show 1 to all; None: every number from 0 to all is as likely.
    """

    with_mask: bool = False
    with_suv: bool = False
    without_clicks: float | None = None

    def load_case(self, identifier):
        data, segmentation, previous, properties = super().load_case(identifier)
        stored = stored_clicks(properties, where=f"{self.source_folder}/{identifier}.pkl")
        shown = self._number(stored.most)
        return _DrawnClicks(data, stored, shown, self.with_mask, self.with_suv), segmentation, previous, properties

    def clicks_of(self, identifier: str) -> StoredClicks:
        """The clicks of a case."""
        path = f"{self.source_folder}/{identifier}.pkl"
        return stored_clicks(read_properties(path), where=path)

    def _number(self, most: int) -> int:
        if self.without_clicks is None:
            return np.random.randint(0, most + 1)
        return 0 if np.random.uniform() < self.without_clicks else np.random.randint(1, most + 1)


def stored_clicks(properties: dict, *, where: object) -> StoredClicks:
    """The clicks in the properties of a preprocessed case; InputError, at `where`, without any."""
    if RECORD not in properties:
        raise InputError(
            "was preprocessed for a training that shows all clicks", where=where, mend="run the workflow again"
        )
    return StoredClicks.from_record(properties[RECORD])


class _DrawnClicks:
    """View of stored data (CT, PET, SUV) as CT, PET, the heatmap of the first `clicks` clicks and what is asked for."""

    def __init__(self, data, stored: StoredClicks, clicks: int, with_mask: bool, with_suv: bool):
        self._data = data
        self._stored = stored
        self._clicks = clicks
        self._with_mask = with_mask
        self._with_suv = with_suv
        self.shape = (IMAGE_CHANNELS + 1 + with_mask + with_suv, *data.shape[1:])
        self.ndim = data.ndim
        self.dtype = data.dtype

    def __getitem__(self, key) -> np.ndarray:
        channels, *box = key if isinstance(key, tuple) else (key,)
        if channels != slice(None) and channels != slice(0, self.shape[0]):
            raise IndexError("only whole stacks of channels can be cut out")
        box += [slice(None)] * (3 - len(box))
        box = tuple(slice(*part.indices(length)[:2]) for part, length in zip(box, self.shape[1:], strict=True))
        read = self._data[(slice(None) if self._with_suv else slice(0, IMAGE_CHANNELS), *box)]
        heatmap = self._stored.heatmap(self._suv, box, self._clicks)[None]
        masks = [np.zeros_like(heatmap)] if self._with_mask else []
        return np.concatenate((read[:IMAGE_CHANNELS], heatmap, *masks, read[IMAGE_CHANNELS:]))

    def _suv(self, box: Box) -> np.ndarray:
        return self._data[(slice(IMAGE_CHANNELS, IMAGE_CHANNELS + 1), *box)][0]

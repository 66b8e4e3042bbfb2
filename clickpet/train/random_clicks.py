"""Training with random clicks: a preprocessed case that shows a random number of its clicks."""

from __future__ import annotations

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

#: Channels of the network's input before the clicks: CT and PET.
IMAGE_CHANNELS = 2


class RandomClicksDataset(nnUNetDatasetBlosc2):
    """Preprocessed cases whose click channel shows 0 to all of the clicks, drawn anew for every patch.

    The stored data hold CT, PET and then one heatmap for each number of clicks 1..n
    (`clickpet.train.preprocessing`); what the loader sees is CT, PET and one heatmap.
    """

    def load_case(self, identifier):
        data, segmentation, previous, properties = super().load_case(identifier)
        clicks = np.random.randint(0, data.shape[0] - IMAGE_CHANNELS + 1)
        return _FirstClicks(data, clicks), segmentation, previous, properties


class _FirstClicks:
    """View of stored data (2 + n, z, y, x) as (3, z, y, x) with the heatmap of the first `clicks` clicks."""

    def __init__(self, data, clicks: int):
        self._data = data
        self._clicks = clicks
        self.shape = (IMAGE_CHANNELS + 1, *data.shape[1:])
        self.ndim = data.ndim
        self.dtype = data.dtype

    def __getitem__(self, key) -> np.ndarray:
        channels, *box = key if isinstance(key, tuple) else (key,)
        if channels != slice(None) and channels != slice(0, self.shape[0]):
            raise IndexError("only whole stacks of channels can be cut out")
        images = self._data[(slice(0, IMAGE_CHANNELS), *box)]
        if self._clicks == 0:
            return np.concatenate((images, np.zeros_like(images[:1])))
        channel = IMAGE_CHANNELS + self._clicks - 1
        return np.concatenate((images, self._data[(slice(channel, channel + 1), *box)]))

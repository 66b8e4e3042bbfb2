"""Networks are told apart by their digests."""

import pytest
import torch

from clickpet.digests import weights_digest

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}


def test_equal_networks_have_equal_digests():
    assert weights_digest({"a": WEIGHTS["a"].T.contiguous().T, "b": torch.tensor(1)}) == weights_digest(WEIGHTS)


@pytest.mark.parametrize(
    "change",
    [{"b": torch.tensor(2)}, {"b": torch.tensor(1.0)}, {"a": WEIGHTS["a"].reshape(3, 2)}, {"c": torch.tensor(1)}],
)
def test_others_have_others(change):
    assert weights_digest(WEIGHTS | change) != weights_digest(WEIGHTS)

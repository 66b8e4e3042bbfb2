"""clickpet.finite_weights: damaged tensors are named, those with several names looked at once."""

import pytest
import torch

from clickpet import finite_weights
from clickpet.errors import InputError
from clickpet.finite_weights import refuse_non_finite


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_what_is_not_finite_is_named(value, dtype):
    weights = {name: torch.ones(3, 4, dtype=dtype) for name in ("a", "b", "c")}
    refuse_non_finite(weights)
    weights["b"][2, 1] = value
    with pytest.raises(InputError, match=r"not finite \(NaN or infinite in b of 3\)"):
        refuse_non_finite(weights)


def test_sums_that_overflow_are_no_damage():
    refuse_non_finite({"a": torch.full((4,), 3e38), "b": torch.full((4,), 6e4, dtype=torch.float16)})


def test_all_names_of_a_damaged_tensor_are_told():
    weights = {"encoder.a": torch.ones(4), "b": torch.ones(4)}
    weights["decoder.encoder.a"] = weights["encoder.a"]
    weights["b"][0] = weights["encoder.a"][0] = float("nan")
    with pytest.raises(InputError, match=r"NaN or infinite in encoder\.a, b, decoder\.encoder\.a of 3"):
        refuse_non_finite(weights)


def test_each_memory_is_read_once_and_views_of_it_apart(monkeypatch):
    read = []
    is_finite = finite_weights._is_finite
    monkeypatch.setattr(finite_weights, "_is_finite", lambda tensor: read.append(tensor) or is_finite(tensor))
    memory = torch.arange(12.0).reshape(3, 4)
    memory[0, 3] = float("nan")
    weights = {"a": memory, "b": memory, "row": memory[0], "part": memory[:, :3], "turned": memory.T}
    with pytest.raises(InputError, match=r"in a, b, row and 1 more of 5"):
        refuse_non_finite(weights)
    assert len(read) == 4

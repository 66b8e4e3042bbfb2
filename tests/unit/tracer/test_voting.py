"""The vote of the discriminator's folds."""

import numpy as np
import pytest
from toy_mips import SIZE

from clickpet.tracer.training import constant_discriminator
from clickpet.tracer.voting import find_tracer, majority


@pytest.mark.parametrize(
    ("probabilities", "tracer"),
    [
        ([0.9], "psma"),
        ([0.1], "fdg"),
        ([0.5], "psma"),
        ([0.6, 0.6, 0.0], "psma"),  # the majority, not the mean
        ([0.9, 0.4, 0.4], "fdg"),
        ([0.6, 0.1], "fdg"),  # a tie: the mean
        ([0.95, 0.4], "psma"),
        ([0.75, 0.25], "psma"),
    ],
)
def test_majority_vote_and_ties(probabilities, tracer):
    assert majority(probabilities) == tracer


def test_members_are_counted_in_their_order():
    members = [constant_discriminator(name) for name in ("psma", "fdg", "psma")]
    found = find_tracer(np.zeros((SIZE, SIZE), np.float32), members)
    assert found["tracer"] == "psma"
    assert found["source"] == "found"
    assert found["votes"] == {"fdg": 1, "psma": 2}
    assert found["probability_psma"] == pytest.approx(
        [1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10)), 1 / (1 + np.exp(-10))]
    )

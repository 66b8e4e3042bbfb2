"""Training of the discriminator: repeats bit for bit and never sees the held-out fold."""

import numpy as np
import pytest
import torch
from toy_mips import OPTIONS, SIZE, toy_mips

from clickpet.errors import InputError
from clickpet.tracer import training
from clickpet.tracer.training import constant_discriminator, draw_stopping_cases, train_discriminator, train_fold
from clickpet.tracer.voting import find_tracer


@pytest.fixture(scope="module")
def trained():
    mips, is_psma = toy_mips(8, 0)
    stop_mips, stop_is_psma = toy_mips(4, 1)
    return train_discriminator(mips, is_psma, validation_mips=stop_mips, validation_is_psma=stop_is_psma, **OPTIONS)


def test_training_separates_a_toy_problem(trained):
    weights, history = trained
    mips, is_psma = toy_mips(10, 2)
    for mip, psma in zip(mips, is_psma, strict=True):
        found = find_tracer(mip, [weights])
        assert found["tracer"] == ("psma" if psma else "fdg")
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2
    assert history[-1]["train_accuracy"] == 1


def test_kept_weights_are_those_of_the_lowest_validation_loss(trained):
    weights, history = trained
    losses = [row["validation_loss"] for row in history]
    assert [row["best"] for row in history] == [loss < min([np.inf, *losses[:n]]) for n, loss in enumerate(losses)]
    mips, is_psma = toy_mips(4, 1)
    probabilities = np.array([find_tracer(mip, [weights])["probability_psma"][0] for mip in mips])
    loss = -np.log(np.where(is_psma, probabilities, 1 - probabilities)).mean()
    assert loss == pytest.approx(min(losses), rel=1e-3, abs=1e-6)


def test_training_is_repeatable_bit_for_bit(trained):
    mips, is_psma = toy_mips(8, 0)
    stop_mips, stop_is_psma = toy_mips(4, 1)
    torch.rand(7)  # whatever the process did with the global generator
    before = torch.random.get_rng_state()
    weights, history = train_discriminator(
        mips, is_psma, validation_mips=stop_mips, validation_is_psma=stop_is_psma, **OPTIONS
    )
    assert history == trained[1]
    assert all(torch.equal(tensor, trained[0][name]) for name, tensor in weights.items())
    assert torch.equal(torch.random.get_rng_state(), before)
    other, _ = train_discriminator(
        mips, is_psma, validation_mips=stop_mips, validation_is_psma=stop_is_psma, **OPTIONS | {"seed": 2, "epochs": 1}
    )
    assert not torch.equal(other["conv1.weight"], weights["conv1.weight"])


def test_early_stopping_after_patience_epochs_without_a_better_loss():
    """Validation cases with swapped tracers: the better the training, the higher their loss."""
    mips, is_psma = toy_mips(8, 0)
    stop_mips, stop_is_psma = toy_mips(4, 1)
    _, history = train_discriminator(
        mips,
        is_psma,
        validation_mips=stop_mips,
        validation_is_psma=~stop_is_psma,
        **OPTIONS | {"epochs": 40, "patience": 3},
    )
    best = max(row["epoch"] for row in history if row["best"])
    assert len(history) == best + 3 < 40


def test_without_validation_the_last_epoch_is_kept():
    mips, is_psma = toy_mips(8, 0)
    _, history = train_discriminator(
        mips,
        is_psma,
        validation_mips=mips[:0],
        validation_is_psma=is_psma[:0],
        **OPTIONS | {"epochs": 4, "patience": 1},
    )
    assert len(history) == 4
    assert history[-1]["best"]
    assert history[-1]["validation_loss"] is None


def test_one_tracer_is_nothing_to_learn():
    mips, _ = toy_mips(4, 0)
    with pytest.raises(InputError, match="both tracers"):
        train_discriminator(
            mips, np.ones(4, bool), validation_mips=mips[:0], validation_is_psma=np.zeros(0, bool), **OPTIONS
        )


def test_augmentation_moves_mirrors_and_scales():
    mip = np.zeros((SIZE, SIZE), np.float32)
    mip[20:24, 10:14] = 5
    rng = np.random.default_rng(3)
    many = [training.augmented(mip, rng) for _ in range(60)]
    reach = round(training.AUGMENT_SHIFT * SIZE)
    tops = {int(np.flatnonzero(one.any(axis=1))[0]) for one in many}
    lefts = {int(np.flatnonzero(one.any(axis=0))[0]) for one in many}
    assert tops == set(range(20 - reach, 21 + reach))
    mirrored = {SIZE - 4 - left for left in lefts if left > SIZE // 2}
    assert mirrored
    assert {left for left in lefts if left < SIZE // 2} | mirrored <= set(range(10 - reach, 11 + reach))
    peaks = np.array([one.max() for one in many]) / 5
    assert 0.1 < np.log(peaks).std() < 0.2
    assert all((one > 0).sum() == 16 for one in many)
    assert mip.sum() == 80


def fold_of_four(n=16, held_out=(0, 1, 12, 13)):
    mips, is_psma = toy_mips(n, 0)
    tracers = ["psma" if psma else "fdg" for psma in is_psma]
    patients = [f"{tracer}{index // 2 % 6}" for index, tracer in enumerate(tracers)]  # some with two studies
    return mips, tracers, patients, np.isin(np.arange(n), held_out)


def test_held_out_cases_influence_neither_weights_nor_stopping():
    mips, tracers, patients, held_out = fold_of_four()
    options = OPTIONS | {"epochs": 3}
    weights, record = train_fold(mips, tracers, patients, held_out, **options)
    mips = mips.copy()
    mips[held_out] = np.random.default_rng(5).random((4, SIZE, SIZE)) * 40
    other_weights, other = train_fold(mips, tracers, patients, held_out, **options)
    assert all(torch.equal(tensor, other_weights[name]) for name, tensor in weights.items())
    assert record["epochs"] == other["epochs"]
    assert record["held_out_loss"] != other["held_out_loss"]
    assert (record["train"], record["stopping"], record["held_out"]) == (10, 2, 4)


def test_fold_all_has_no_held_out_cases():
    mips, tracers, patients, _ = fold_of_four()
    _, record = train_fold(mips, tracers, patients, np.zeros(16, bool), **OPTIONS | {"epochs": 2})
    assert record["held_out"] == 0
    assert record["held_out_loss"] is None
    assert record["held_out_accuracy"] is None
    assert record["train"] + record["stopping"] == 16


def test_fold_with_one_tracer_gets_a_constant_model(capsys):
    mips, tracers, patients, _ = fold_of_four()
    held_out = np.array([tracer == "fdg" for tracer in tracers])
    weights, record = train_fold(mips, tracers, patients, held_out, **OPTIONS)
    assert record["constant"] == "psma"
    assert record["epochs"] == []
    assert record["held_out_accuracy"] == 0
    assert "always answers psma" in capsys.readouterr().out
    assert all(find_tracer(mip, [weights])["tracer"] == "psma" for mip in mips)
    assert find_tracer(mips[0], [constant_discriminator("fdg")])["tracer"] == "fdg"


def test_fold_that_holds_everything_out_is_refused():
    mips, tracers, patients, _ = fold_of_four()
    with pytest.raises(InputError, match="folds"):
        train_fold(mips, tracers, patients, np.ones(16, bool), **OPTIONS)


@pytest.mark.parametrize(("n_patients", "expected"), [(1, 0), (4, 0), (5, 1), (10, 2), (100, 20)])
def test_stopping_patients_are_a_fifth_of_each_tracer(n_patients, expected):
    tracers = ["fdg", "fdg", "psma"] * n_patients  # FDG patients have two studies
    patients = [f"{tracer}{index // 3}" for index, tracer in enumerate(tracers)]
    chosen = draw_stopping_cases(tracers, patients, seed=3)
    for tracer, studies in (("fdg", 2), ("psma", 1)):
        own = [
            patient for patient, other, stop in zip(patients, tracers, chosen, strict=True) if other == tracer and stop
        ]
        assert len(set(own)) == expected
        assert len(own) == studies * expected
    assert np.array_equal(chosen, draw_stopping_cases(tracers, patients, seed=3))


def test_one_scarce_tracer_stops_early_stopping():
    tracers = ["fdg"] * 20 + ["psma"] * 4
    assert not draw_stopping_cases(tracers, [f"{number}" for number in range(24)], seed=0).any()


def test_patients_with_both_tracers_stay_together_and_leave_both_to_learn():
    tracers, patients = ["fdg", "psma"] * 6, [str(number // 2) for number in range(12)]
    for seed in range(20):
        chosen = draw_stopping_cases(tracers, patients, seed=seed)
        assert 0 < chosen.sum() < 12
        assert np.array_equal(chosen[::2], chosen[1::2])

"""The tracer discriminator: the released layers, a training that repeats and never sees the held-out fold, the vote."""

import pickle

import numpy as np
import pytest
import torch

from clickpet.errors import InputError
from clickpet.tracer import discriminator
from clickpet.tracer.discriminator import (
    MIN_SIZE,
    TracerNet,
    accuracy_report,
    constant_discriminator,
    draw_stopping_cases,
    find_tracer,
    load_discriminator,
    majority,
    save_discriminator,
    train_discriminator,
    train_fold,
    wilson_interval,
)

SIZE = 64
OPTIONS = {"epochs": 8, "batch_size": 4, "patience": 8, "seed": 1, "learning_rate": 1e-3, "weight_decay": 0.01}


def toy_mips(n, seed, size=SIZE):
    """Half FDG (a hot head), half PSMA (two hot kidneys), in turn, on noise."""
    rng = np.random.default_rng(seed)
    mips = rng.random((n, size, size), np.float32)
    is_psma = np.arange(n) % 2 == 1
    step = size // 16
    for mip, psma in zip(mips, is_psma, strict=True):
        if psma:
            mip[8 * step : 10 * step, 5 * step : 6 * step] += 20
            mip[8 * step : 10 * step, 10 * step : 11 * step] += 20
        else:
            mip[step : 4 * step, 6 * step : 10 * step] += 10
    return mips, is_psma


@pytest.fixture(scope="module")
def trained():
    mips, is_psma = toy_mips(8, 0)
    stop_mips, stop_is_psma = toy_mips(4, 1)
    return train_discriminator(mips, is_psma, validation_mips=stop_mips, validation_is_psma=stop_is_psma, **OPTIONS)


# Network


def test_layers_are_the_released_ones():
    shapes = {name: tuple(tensor.shape) for name, tensor in TracerNet().state_dict().items()}
    weights = {
        "conv1": (8, 1, 8, 8),
        "conv2": (16, 8, 3, 3),
        "conv3": (32, 16, 3, 3),
        "conv4": (64, 32, 3, 3),
        "conv5": (128, 64, 3, 3),
        "conv6": (256, 128, 6, 6),
        "fc1": (128, 256),
        "fc2": (64, 128),
        "fc3": (16, 64),
        "fc4": (4, 16),
        "fc5": (1, 4),
    }
    expected = {f"{name}.weight": shape for name, shape in weights.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in weights.items()}
    assert shapes == expected
    network = TracerNet()
    assert (network.conv1.stride, network.conv1.padding) == ((2, 2), (3, 3))
    for name in ("conv2", "conv3", "conv4", "conv5"):
        assert (getattr(network, name).stride, getattr(network, name).padding) == ((2, 2), (0, 0))
    assert (network.conv6.stride, network.conv6.padding) == ((1, 1), (0, 0))


def test_network_at_224_is_the_plain_sequence_of_its_layers():
    torch.manual_seed(0)
    network = TracerNet()
    values = mips = torch.rand(2, 1, 224, 224) * 20
    edges = []
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6"):
        values = torch.relu(getattr(network, name)(values))
        edges.append(values.shape[-1])
    assert edges == [112, 55, 27, 13, 6, 1]
    values = torch.flatten(values, start_dim=1)
    assert values.shape == (2, 256)
    for name in ("fc1", "fc2", "fc3", "fc4"):
        values = torch.relu(getattr(network, name)(values))
    values = torch.sigmoid(network.fc5(values))[:, 0]
    assert torch.equal(network(mips), values)


@pytest.mark.parametrize("size", [MIN_SIZE, 96, 150, 221, 222, 233, 260])
def test_other_sizes_give_256_features(size):
    features = TracerNet().features(torch.rand(1, 1, size, size))
    assert features.shape == (1, 256)
    assert features.std() > 0


@pytest.mark.parametrize("shape", [(MIN_SIZE - 1, MIN_SIZE - 1), (100, 90)])
def test_impossible_sizes_name_the_config_key(shape):
    with pytest.raises(InputError, match=r"tracer\.size"):
        find_tracer(np.zeros(shape, np.float32), [constant_discriminator("fdg")])


def test_smallest_size_is_the_smallest_that_works():
    TracerNet().features(torch.rand(1, 1, MIN_SIZE, MIN_SIZE))
    with pytest.raises(RuntimeError):
        TracerNet().features(torch.rand(1, 1, MIN_SIZE - 1, MIN_SIZE - 1))


# Training


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
    many = [discriminator._augmented(mip, rng) for _ in range(60)]
    reach = round(discriminator._SHIFT * SIZE)
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


# A fold


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


# Vote


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


# Files


def test_weights_survive_saving(tmp_path, trained):
    save_discriminator(tmp_path / "checkpoint.pth", trained[0])
    read = load_discriminator(tmp_path / "checkpoint.pth")
    assert all(torch.equal(tensor, trained[0][name]) for name, tensor in read.items())
    first = (tmp_path / "checkpoint.pth").read_bytes()
    save_discriminator(tmp_path / "checkpoint.pth", trained[0])
    assert (tmp_path / "checkpoint.pth").read_bytes() == first


class Hostile:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


def test_files_that_are_no_weights_are_refused(tmp_path, trained):
    path = tmp_path / "checkpoint.pth"
    with pytest.raises(InputError, match="no such file"):
        load_discriminator(path)
    path.write_bytes(b"not a file of torch")
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    with path.open("wb") as file:
        pickle.dump(Hostile(), file)
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    torch.save({"weights": Hostile()}, path)
    with pytest.raises(InputError, match="no file of network weights"):
        load_discriminator(path)
    torch.save({name: tensor for name, tensor in trained[0].items() if not name.startswith("fc5")}, path)
    with pytest.raises(InputError, match="fc5"):
        load_discriminator(path)
    torch.save(trained[0] | {"conv1.weight": torch.zeros(8, 3, 8, 8)}, path)
    with pytest.raises(InputError, match=r"conv1\.weight"):
        load_discriminator(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="no tracer discriminator"):
        load_discriminator(path)


# Accuracy


def rows_of(*answers):
    return [
        {"case": f"case {n}", "tracer": true, "tracer_found": found, "source": source, "fold": fold}
        for n, (true, found, source, fold) in enumerate(answers)
    ]


def test_accuracy_report():
    report = accuracy_report(
        rows_of(
            ("fdg", "fdg", "found", 0),
            ("fdg", "psma", "found", 0),
            ("psma", "psma", "found", 1),
            ("psma", "psma", "found", None),
            ("psma", "psma", "given", None),
        )
    )
    assert (report["n"], report["correct"], report["accuracy"], report["not_asked"]) == (4, 3, 0.75, 1)
    assert report["confusion"] == {"fdg": {"fdg": 1, "psma": 1}, "psma": {"fdg": 0, "psma": 2}}
    assert report["wrong"] == ["case 1"]
    assert report["folds"] == {
        "0": {"n": 2, "correct": 1, "accuracy": 0.5},
        "1": {"n": 1, "correct": 1, "accuracy": 1},
        "ensemble": {"n": 1, "correct": 1, "accuracy": 1},
    }
    assert list(report["folds"]) == ["0", "1", "ensemble"]


def test_accuracy_of_a_cohort_that_nobody_was_asked_about():
    report = accuracy_report(rows_of(("fdg", "fdg", "only", 0), ("fdg", "fdg", "only", 1)))
    assert (report["n"], report["not_asked"], report["accuracy"]) == (0, 2, None)
    assert (report["accuracy_low"], report["accuracy_high"]) == (None, None)


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1605, 1611, 0.9919, 0.9983)],
)
def test_wilson_interval_against_published_values(correct, n, low, high):
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=6e-5)

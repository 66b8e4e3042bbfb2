"""The trainer for real, very small."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.errors import InputError
from clickpet.files import read_json
from clickpet.nnunet.model_folder import load_checkpoint
from clickpet.nnunet.plans import (
    Topology,
    dataset_json,
    fingerprint_case,
    fingerprint_cohort,
    network_plans,
    resencl_plans,
)
from clickpet.train.key import fold_cases
from clickpet.train.lesion_fold import publish, train_lesion_fold
from clickpet.train.loss import LesionAndOrganLoss, lesion_free_loss
from clickpet.train.options import TrainingOptions
from clickpet.train.preprocessing import preprocess_case, preprocess_with_clicks, save_preprocessed
from clickpet.train.resumable import ResumableTrainer, TimeBudgetReachedError

HEATMAP = HeatmapOptions(sigma_tumor=1.5, sigma_background=2)
CASES = ["a", "b", "c", "d"]
OPTIONS = TrainingOptions(
    epochs=2, iterations_per_epoch=2, validation_iterations=1, learning_rate=0.01, save_every=1, misalignment={}
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Plans and four preprocessed cases, with a heatmap ("all") and with three clicks each ("clicks")."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    volumes = {}
    for name in CASES:
        ct = rng.normal(0, 200, (20, 22, 24)).astype(np.float32)
        suv = rng.gamma(2, 1, (20, 22, 24)).astype(np.float32)
        truth = np.zeros(ct.shape, np.uint8)
        truth[8:12, 9:13, 10:14] = 1
        suv += 5 * truth
        organs = np.where(ct > 100, 3, np.where(ct < -200, 15, 0)).astype(np.uint8)
        clicks = Clicks([[9, 10, 11], [11, 12, 13], [8, 9, 10]], [[3, 4, 5]])
        volumes[name] = (ct, suv, clicks, truth, organs)
    prints = [fingerprint_case(ct, suv, truth, affine) for ct, suv, _, truth, _ in volumes.values()]
    fingerprint = fingerprint_cohort([case for case, _ in prints], [values for _, values in prints])
    dataset = dataset_json(4)
    stock = resencl_plans(fingerprint, dataset, tracer="fdg")
    (folder / "dataset_fingerprint.json").write_text("{}")
    given = {"plans": stock, "dataset": dataset}
    for name, (ct, suv, clicks, truth, organs) in volumes.items():
        heatmap = truth.astype(np.float32)
        for where, case in (
            ("all", preprocess_case(ct, suv, heatmap, truth, organs, affine, **given)),
            ("clicks", preprocess_with_clicks(ct, suv, clicks, HEATMAP, truth, organs, affine, **given)),
        ):
            stem = folder / where / name
            files = {"data": f"{stem}.b2nd", "segmentation": f"{stem}_seg.b2nd", "properties": f"{stem}.pkl"}
            save_preprocessed(files, *case, patch_size=[16, 16, 16])
    plans = network_plans(
        stock, patch_size=[16, 16, 16], batch_size=2, organ_classes=15, topology=Topology([4, 8], [1, 1], 2)
    )
    return folder, plans, dataset


def train(study, workspace, *, options=OPTIONS, where="all", **changes):
    folder, plans, dataset = study
    torch.set_num_threads(1)
    arguments = {
        "plans": plans, "dataset": dataset, "options": options, "case_split": (CASES[:3], CASES[3:]), "fold": "0",
        "preprocessed": folder / where, "fingerprint": folder / "dataset_fingerprint.json", "workspace": workspace,
    }  # fmt: skip
    checkpoint, record = train_lesion_fold(**arguments | changes)
    return torch.load(checkpoint, weights_only=False)["network_weights"], record


def without_timings(record: dict) -> dict:
    return {name: value for name, value in record.items() if name != "resources"}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory):
    return train(study, tmp_path_factory.mktemp("undisturbed"))


def test_the_record_tells_the_curve_and_the_cases(undisturbed):
    weights, record = undisturbed
    assert len(record["train_loss"]) == len(record["val_loss"]) == len(record["pseudo_dice"]) == 2
    assert record["learning_rate"][0] == pytest.approx(0.01)
    assert record["training_cases"] == CASES[:3]
    assert record["validation_cases"] == CASES[3:]
    assert weights["decoder.organ_seg_layers.0.weight"].shape[0] == 15


def test_the_same_training_gives_the_same_bits(study, undisturbed, tmp_path):
    weights, record = train(study, tmp_path)
    assert same(weights, undisturbed[0])
    assert without_timings(record) == without_timings(undisturbed[1])


def test_a_stopped_training_goes_on_to_the_same_bits(study, undisturbed, tmp_path):
    with pytest.raises(TimeBudgetReachedError, match="after epoch 1 of 2"):
        train(study, tmp_path, budget_s=0)
    weights, record = train(study, tmp_path)
    assert same(weights, undisturbed[0])
    assert without_timings(record) == without_timings(undisturbed[1])


def test_a_finished_training_is_not_done_again(study, tmp_path):
    train(study, tmp_path)
    (checkpoint,) = tmp_path.rglob("checkpoint_final.pth")
    before = checkpoint.stat().st_mtime_ns
    train(study, tmp_path)
    assert checkpoint.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "changes", [{"options": replace(OPTIONS, seed=1)}, {"case_split": (CASES[1:], CASES[:1])}, {"method": "new"}]
)
def test_other_settings_start_anew_and_the_old_ones_go_on_where_they_were(study, undisturbed, tmp_path, changes):
    with pytest.raises(TimeBudgetReachedError):
        train(study, tmp_path, budget_s=0)
    begun = {file: file.read_bytes() for file in tmp_path.rglob("checkpoint_latest.pth")}
    _, record = train(study, tmp_path, **changes)
    assert record["key"] != undisturbed[1]["key"]
    keys = {folder.name for folder in tmp_path.iterdir() if folder.is_dir()}
    assert keys == {record["key"], undisturbed[1]["key"]}
    assert begun == {file: file.read_bytes() for file in begun}
    _, again = train(study, tmp_path)
    assert again["weights"] == undisturbed[1]["weights"]


def test_how_often_a_checkpoint_is_saved_is_no_other_training(study, undisturbed, tmp_path):
    with pytest.raises(TimeBudgetReachedError):
        train(study, tmp_path, budget_s=0)
    _, record = train(study, tmp_path, options=replace(OPTIONS, save_every=OPTIONS.save_every + 3))
    assert record["key"] == undisturbed[1]["key"]
    assert record["weights"] == undisturbed[1]["weights"]


def test_training_with_random_clicks_runs(study, tmp_path):
    weights, _ = train(study, tmp_path, options=replace(OPTIONS, training_clicks="random", epochs=1), where="clicks")
    assert weights["encoder.stem.convs.0.conv.weight"].shape[1] == 3


ERRORS = replace(OPTIONS, training_clicks="errors", corrections={"share": 1.0, "rounds": 2})


def test_a_training_on_errors_goes_on_to_the_same_bits(study, tmp_path):
    weights, record = train(study, tmp_path / "whole", options=ERRORS, where="clicks")
    with pytest.raises(TimeBudgetReachedError):
        train(study, tmp_path / "stopped", options=ERRORS, where="clicks", budget_s=0)
    resumed, again = train(study, tmp_path / "stopped", options=ERRORS, where="clicks")
    assert same(weights, resumed)
    assert without_timings(record) == without_timings(again)
    other, changed = train(
        study, tmp_path / "other", options=replace(ERRORS, corrections={"share": 0.0}), where="clicks"
    )
    assert changed["key"] != record["key"]
    assert not same(weights, other)


def test_a_training_with_the_mask_before_has_a_fourth_channel(study, tmp_path):
    _, plans, _ = study
    stock = {**plans, "configurations": {"3d_fullres": {**plans["configurations"]["3d_fullres"]}}}
    stock["configurations"]["3d_fullres"]["spacing"] = [3.0, 3.0, 3.0]
    four = network_plans(
        stock, patch_size=[16, 16, 16], batch_size=2, organ_classes=15, topology=Topology([4, 8], [1, 1], 2),
        previous_mask=True,
    )  # fmt: skip
    assert four["configurations"]["3d_fullres"]["normalization_schemes"][2:] == ["NoNormalization"] * 2
    options = replace(ERRORS, previous_mask=True)
    trained = {"plans": four, "dataset": dataset_json(4, previous_mask=True), "options": options, "where": "clicks"}
    weights, record = train(study, tmp_path, **trained)
    assert weights["encoder.stem.convs.0.conv.weight"].shape[1] == record["input_channels"] == 4
    on_device, _ = train(study, tmp_path / "device", **trained, augment_on_device=True)
    assert not same(weights, on_device)
    assert len(plans["configurations"]["3d_fullres"]["normalization_schemes"]) == 3


def test_a_training_on_errors_augmented_on_the_device(study, tmp_path):
    records = [
        train(study, tmp_path / name, options=ERRORS, where="clicks", augment_on_device=True)[1] for name in ("a", "b")
    ]
    assert without_timings(records[0]) == without_timings(records[1])
    assert np.isfinite(records[0]["train_loss"]).all()
    with_workers = {"options": replace(ERRORS, iterations_per_epoch=8), "workers": 2, "augment_on_device": True}
    _, record = train(study, tmp_path / "workers", where="clicks", **with_workers)
    assert np.isfinite(record["train_loss"]).all()


def test_what_is_published_predicts_without_the_optimiser(study, undisturbed, tmp_path):
    train(study, tmp_path / "work")
    (final,) = (tmp_path / "work").rglob("checkpoint_final.pth")
    before = final.read_bytes()
    targets = [tmp_path / name / "fold_0" / "checkpoint_final.pth" for name in ("models", "again")]
    for target in targets:
        publish(final, target)
    assert final.read_bytes() == before  # a training can go on from it
    assert targets[0].read_bytes() == targets[1].read_bytes()
    momentum_bytes = sum({one.data_ptr(): one.nbytes for one in undisturbed[0].values()}.values())
    assert targets[0].stat().st_size < len(before) - 0.9 * momentum_bytes
    full, published = (load_checkpoint(path) for path in (final, targets[0]))
    assert set(full) - set(published) >= {"optimizer_state", "grad_scaler_state", "logging"}
    assert same(published["network_weights"], undisturbed[0])
    for name in ("init_args", "trainer_name", "inference_allowed_mirroring_axes"):
        assert published[name] == full[name]


def test_fold_cases():
    splits = {"cases": {"a": 0, "b": 1, "c": 1}}
    assert fold_cases(splits, ["a", "b", "c"], "1") == (["a"], ["b", "c"])
    assert fold_cases(splits, ["b", "c"], "0") == (["b", "c"], ["b", "c"])
    assert fold_cases(splits, ["a", "b"], "all") == (["a", "b"], ["a", "b"])
    with pytest.raises(ValueError, match="no case to train on"):
        fold_cases(splits, ["b", "c"], "1")


def one_hot_loss(logits, target):
    """Dice (batch and voxels by sample, no smoothing, foreground only) + cross-entropy, written plainly."""
    probabilities = logits.softmax(1)
    truth = torch.nn.functional.one_hot(target, logits.shape[1]).movedim(-1, 1).float()
    dices = []
    for sample in range(len(logits)):
        for label in range(1, logits.shape[1]):
            p, t = probabilities[sample, label], truth[sample, label]
            dices.append(2 * (p * t).sum() / (p.sum() + t.sum()).clamp(min=1e-8))
    return torch.nn.functional.cross_entropy(logits, target) - torch.stack(dices).mean()


def test_the_loss_is_lesions_plus_organs():
    torch.manual_seed(0)
    logits = torch.randn(2, 2 + 4, 3, 4, 5)
    lesions = torch.randint(0, 2, (2, 3, 4, 5))
    organs = torch.randint(0, 4, (2, 3, 4, 5))
    labels = torch.where(organs > 0, organs + 1, 0)  # classes 1..3 are stored as 2..4
    target = torch.stack([lesions, labels], 1).to(torch.int16)
    loss = LesionAndOrganLoss(batch_dice=False, ddp=False, organ_weight=0.5)
    expected = one_hot_loss(logits[:, :2], lesions) + 0.5 * one_hot_loss(logits[:, 2:], organs)
    torch.testing.assert_close(loss(logits, target.float()), expected, atol=1e-5, rtol=1e-5)
    alone = loss(logits[:, :2], target[:, :1].float())
    torch.testing.assert_close(alone, one_hot_loss(logits[:, :2], lesions), atol=1e-5, rtol=1e-5)


def test_the_loss_of_patches_without_lesion():
    """A batch without lesion has no gradient of the Dice, but one of this term; patches with lesion do not count."""
    torch.manual_seed(0)
    logits = torch.randn(3, 2, 4, 5, 6, requires_grad=True)
    truth = torch.zeros(3, 1, 4, 5, 6)
    truth[1, 0, 1, 1, 1] = 1
    seen = logits.detach().softmax(1)[:, 1].sum((1, 2, 3))
    expected = (seen[0] / (seen[0] + 1) + seen[2] / (seen[2] + 1)) / 3
    term = lesion_free_loss(logits, truth[:, 0])
    torch.testing.assert_close(term, expected)
    term.backward()
    assert not logits.grad[1].any()
    assert (logits.grad[[0, 2], 1] > 0).all()
    plain = LesionAndOrganLoss(batch_dice=True, ddp=False, organ_weight=1)
    with_term = LesionAndOrganLoss(batch_dice=True, ddp=False, organ_weight=1, lesion_free_weight=0.5)
    both = logits.detach()
    torch.testing.assert_close(with_term(both, truth), plain(both, truth) + 0.5 * expected)
    full = torch.ones_like(truth)
    torch.testing.assert_close(with_term(both, full), plain(both, full))
    large = torch.zeros(1, 2, 128, 128, 128)  # half of a large patch's loss is at a hundred thousandth of its voxels
    large[:, 1] = -100
    large[0, 1].view(-1)[:21] = 100
    term = lesion_free_loss(large, torch.zeros(1, 128, 128, 128))
    assert float(term) == pytest.approx(0.5, abs=0.01)


def test_two_processes_share_the_batches_and_end_with_one_network(study, undisturbed, tmp_path):
    weights, record = train(study, tmp_path, processes=2)
    assert weights.keys() == undisturbed[0].keys()
    assert not same(weights, undisturbed[0])
    assert record["key"] == undisturbed[1]["key"]
    assert np.isfinite(record["train_loss"]).all()


def test_two_processes_stop_together_and_one_goes_on(study, tmp_path):
    with pytest.raises(TimeBudgetReachedError, match="its time was used up"):
        train(study, tmp_path, processes=2, budget_s=0)
    _, record = train(study, tmp_path)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    logs = "".join(path.read_text() for path in folder.rglob("training_log*.txt"))
    assert "going on after epoch 1 of 2" in logs
    assert len(record["train_loss"]) == 2


def test_an_error_in_one_of_two_processes_ends_both(study, tmp_path):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"none")
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match=r"weights\.pth"):
        train(study, tmp_path, processes=2, pretrained=str(weights))


def test_more_processes_than_cases_in_a_batch_are_refused(study, tmp_path):
    with pytest.raises(InputError, match="3 GPUs cannot share batches of 2"):
        train(study, tmp_path, processes=3)


def test_a_training_augmented_on_the_device_by_workers_goes_on_after_a_stop(study, undisturbed, tmp_path):
    options = replace(OPTIONS, misalignment={"p_rotation": 0.5, "p_shift": 0.5})
    on_device = {"options": options, "workers": 2, "augment_on_device": True}
    with pytest.raises(TimeBudgetReachedError):
        train(study, tmp_path, budget_s=0, **on_device)
    weights, record = train(study, tmp_path, **on_device)
    assert np.isfinite(record["train_loss"]).all()
    assert len(record["resources"]["data_wait_s"]) == 2
    assert min(record["resources"]["data_wait_s"]) >= 0
    assert record["resources"]["peak_gpu_memory_mb"] is None
    assert not same(weights, undisturbed[0])
    progress = read_json(tmp_path / "progress.json")
    assert progress["epoch"] == 2
    assert 0 <= progress["data_wait_share"] < 1


def test_augmentation_on_the_device_in_one_process_is_reproducible(study, tmp_path):
    records = [train(study, tmp_path / name, augment_on_device=True)[1] for name in ("a", "b")]
    assert records[0]["weights"] == records[1]["weights"]


def test_workers_that_augment_get_seeds_too(study, tmp_path):
    _, record = train(study, tmp_path, workers=2, options=replace(OPTIONS, epochs=1))
    assert np.isfinite(record["train_loss"]).all()


@pytest.mark.parametrize("broken", ["empty", "cut"])
@pytest.mark.parametrize("name", ["checkpoint_latest.pth", "checkpoint_final.pth"])
def test_a_training_heals_from_a_broken_checkpoint(study, undisturbed, tmp_path, name, broken):
    if name.endswith("latest.pth"):
        with pytest.raises(TimeBudgetReachedError):
            train(study, tmp_path, budget_s=0)
    else:
        train(study, tmp_path)
    (checkpoint,) = tmp_path.rglob(name)
    checkpoint.write_bytes(b"" if broken == "empty" else checkpoint.read_bytes()[:-1000])
    weights, _ = train(study, tmp_path)
    assert same(weights, undisturbed[0])
    assert [file.name for file in tmp_path.rglob("*.broken")] == [f"{name}.broken"]


def test_no_best_checkpoint_is_written_and_the_one_before_the_last_stays(study, tmp_path):
    train(study, tmp_path)
    assert {file.name for file in tmp_path.rglob("*.pth")} == {"checkpoint_final.pth", "checkpoint_previous.pth"}


def test_the_record_warns_of_pretrained_weights(study, tmp_path):
    checkpoint = next(iter_final(study, tmp_path / "first"))
    _, record = train(study, tmp_path / "second", pretrained=str(checkpoint), options=replace(OPTIONS, epochs=1))
    assert record["pretrained"]["file"] == str(checkpoint)
    assert "not out-of-fold" in record["pretrained"]["warning"]


def iter_final(study, workspace):
    train(study, workspace, options=replace(OPTIONS, epochs=1))
    return workspace.rglob("checkpoint_final.pth")


def on_a_gpu(study, tmp_path, monkeypatch) -> ResumableTrainer:
    """A trainer for a GPU, made on a machine that may have none."""
    _, plans, dataset = study
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    return ResumableTrainer({**plans, "continue_training": False}, "3d_fullres", 0, dataset, torch.device("cuda"))


@pytest.mark.parametrize(
    ("obstacle", "asked", "compiles"), [(None, None, True), ("no compiler", None, False), (None, "f", False)]
)
def test_a_gpu_compiles_where_it_can_and_says_once_why_not(
    study, tmp_path, monkeypatch, capsys, obstacle, asked, compiles
):
    monkeypatch.setattr("clickpet.train.trainer.compile_obstacle", lambda: obstacle)
    monkeypatch.setattr(torch, "compile", lambda module: torch.nn.Sequential(module))
    monkeypatch.delenv("nnUNet_compile", raising=False)
    if asked:
        monkeypatch.setenv("nnUNet_compile", asked)
    trainer = on_a_gpu(study, tmp_path, monkeypatch)
    loss = trainer._build_loss().loss
    assert {isinstance(head.dc, torch.nn.Sequential) for head in (loss.lesion, loss.organ)} == {compiles}
    assert [trainer._do_i_compile() for _ in range(3)] == [compiles] * 3
    assert capsys.readouterr().out.count("training without torch.compile") == (obstacle is not None)


def test_a_gpu_looks_for_the_fastest_convolutions(study, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    trainer = on_a_gpu(study, tmp_path, monkeypatch)
    assert trainer.augment_on_device
    monkeypatch.setattr(nnUNetTrainer, "initialize", lambda self: None)
    trainer.initialize()
    assert torch.backends.cudnn.benchmark

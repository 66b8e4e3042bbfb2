"""The trainer for real, very small."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clickpet.errors import InputError
from clickpet.nnunet.model_folder import load_checkpoint
from clickpet.nnunet.plans import (
    Topology,
    dataset_json,
    fingerprint_case,
    fingerprint_cohort,
    network_plans,
    resencl_plans,
)
from clickpet.train.lesion_fold import fold_cases, publish, train_lesion_fold
from clickpet.train.preprocessing import preprocess_case, save_preprocessed
from clickpet.train.pretrained import start_from
from clickpet.train.trainer import LesionAndOrganLoss, RandomClicksDataset, TimeBudgetReachedError, TrainingOptions

CASES = ["a", "b", "c", "d"]
OPTIONS = TrainingOptions(
    epochs=2, iterations_per_epoch=2, validation_iterations=1, learning_rate=0.01, save_every=1, misalignment={}
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Plans and four preprocessed cases with three heatmaps each."""
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
        heatmaps = [truth * np.float32(k / 3) for k in (1, 2, 3)]
        volumes[name] = (ct, suv, heatmaps, truth, organs)
    prints = [fingerprint_case(ct, suv, truth, affine) for ct, suv, _, truth, _ in volumes.values()]
    fingerprint = fingerprint_cohort([case for case, _ in prints], [values for _, values in prints])
    dataset = dataset_json(4)
    stock = resencl_plans(fingerprint, dataset, tracer="fdg")
    (folder / "dataset_fingerprint.json").write_text("{}")
    for name, (ct, suv, heatmaps, truth, organs) in volumes.items():
        for where, shown in (("all", heatmaps[-1:]), ("random", heatmaps)):
            case = preprocess_case(ct, suv, shown, truth, organs, affine, plans=stock, dataset=dataset)
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
    assert record == undisturbed[1]


def test_a_stopped_training_goes_on_to_the_same_bits(study, undisturbed, tmp_path):
    with pytest.raises(TimeBudgetReachedError, match="after epoch 1 of 2"):
        train(study, tmp_path, budget_s=0)
    weights, record = train(study, tmp_path)
    assert same(weights, undisturbed[0])
    assert record == undisturbed[1]


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


def test_random_clicks_show_every_number_of_clicks(study):
    folder, *_ = study
    dataset = RandomClicksDataset(str(folder / "random"), list(CASES))
    np.random.seed(0)
    peaks = set()
    for _ in range(40):
        data, *_ = dataset.load_case("a")
        assert data.shape[0] == 3
        patch = data[:, 2:18, 2:18, 2:18]
        assert patch.shape == (3, 16, 16, 16)
        peaks.add(round(float(patch[2].max()) * 3))
    assert peaks == {0, 1, 2, 3}


def test_training_with_random_clicks_runs(study, tmp_path):
    weights, _ = train(study, tmp_path, options=replace(OPTIONS, training_clicks="random", epochs=1), where="random")
    assert weights["encoder.stem.convs.0.conv.weight"].shape[1] == 3


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


class Tiny(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.encoder = torch.nn.Module()
        self.encoder.conv = torch.nn.Conv3d(channels, 4, 3)
        self.encoder.norm = torch.nn.InstanceNorm3d(4, affine=True)
        self.decoder = torch.nn.Module()
        self.decoder.seg_layers = torch.nn.ModuleList([torch.nn.Conv3d(4, 2, 1)])


def test_a_pretrained_start_copies_widens_with_zeros_and_leaves_heads_new(tmp_path):
    torch.manual_seed(0)
    given, network = Tiny(2), Tiny(3)
    torch.nn.init.normal_(given.encoder.norm.weight)
    head = network.decoder.seg_layers[0].weight.clone()
    torch.save({"network_weights": {f"module.{k}": v for k, v in given.state_dict().items()}}, tmp_path / "w.pth")
    log = start_from(network, tmp_path / "w.pth")
    assert torch.equal(network.encoder.conv.weight[:, :2], given.encoder.conv.weight)
    assert network.encoder.conv.weight[:, 2].abs().max() == 0
    assert torch.equal(network.encoder.norm.weight, given.encoder.norm.weight)
    assert torch.equal(network.decoder.seg_layers[0].weight, head)
    image = torch.randn(1, 3, 5, 5, 5)
    torch.testing.assert_close(network.encoder.conv(image), given.encoder.conv(image[:, :2]))
    assert log[0] == "pretrained start: 3 copied, 1 widened, 2 new, 2 skipped"


def test_a_checkpoint_that_fits_nowhere_is_refused(tmp_path):
    torch.save({"network_weights": {"x": torch.zeros(1)}}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="no tensor of this checkpoint fits"):
        start_from(Tiny(3), tmp_path / "w.pth")


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

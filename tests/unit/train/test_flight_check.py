"""The check before a training: its real steps, very small, on the CPU; what does not fit is one line."""

import pytest
import torch

from clickpet.errors import InputError
from clickpet.nnunet.plans import Topology, network_plans, nominal_plans
from clickpet.train.flight_check import check_training, require_fit, summary
from clickpet.train.options import TrainingOptions
from clickpet.train.trainer import ClickPetTrainer

TINY = {
    "device": "cpu", "patch_size": [16, 16, 16], "batch_size": 2, "topology": Topology([4, 8], [1, 1], 2),
    "options": TrainingOptions(misalignment={}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("options", [
    {"training_clicks": "random"},
    {"training_clicks": "errors", "corrections": {"share": 1.0}},
    {"training_clicks": "errors", "previous_mask": True, "lesion_free_loss_weight": 1.0},
])  # fmt: skip
def test_a_check_trains_with_the_clicks_of_the_training(options):
    record = check_training(
        **{**TINY, "options": TrainingOptions(misalignment={}, **options)}, organ_classes=4, steps=1
    )
    plain = check_training(**TINY, organ_classes=4, steps=1)
    assert record["fits"]
    more = 27 * 4 if options.get("previous_mask") else 0  # weights of the stem for a channel more
    assert record["parameters"] == plain["parameters"] + more


@pytest.mark.parametrize(("organ_classes", "workers", "on_device"), [(15, 2, True), (0, 0, True), (15, 0, False)])
def test_a_check_measures_the_trainings_own_steps(organ_classes, workers, on_device, monkeypatch):
    losses = []
    step = ClickPetTrainer.train_step

    def watched(self, batch):
        result = step(self, batch)
        losses.append((float(result["loss"]), type(self.augmentation).__name__))
        return result

    monkeypatch.setattr(ClickPetTrainer, "train_step", watched)
    record = check_training(**TINY, organ_classes=organ_classes, workers=workers, augment_on_device=on_device, steps=3)
    assert len(losses) == 1 + 3
    assert all(loss == loss for loss, _ in losses)
    assert {kind for _, kind in losses} == {"DeviceAugmentation" if on_device else "NoneType"}
    heads = {"decoder.seg_layers": 2, "organ": organ_classes}
    assert record["fits"]
    assert record["device"] == "cpu"
    assert record["peak_memory_gib"] is None
    assert not record["compiled"]
    assert 0 <= record["data_wait_s"] < record["step_s"]
    assert 0 < record["tile_s"] < record["first_step_s"]
    small = check_training(**TINY, organ_classes=0, steps=1)["parameters"]
    assert record["parameters"] - small == 5 * heads["organ"]  # a 1 x 1 x 1 convolution of four features
    require_fit(record)
    assert "s a step (eager)" in summary(record)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 3.30 GiB.\nGPU 0 has 14.7 GiB"),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED, allocate 3.30 GiB\n"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(monkeypatch, error, words):
    def too_much(self, batch):
        raise error(words)

    monkeypatch.setattr(ClickPetTrainer, "train_step", too_much)
    record = check_training(**TINY, organ_classes=15, steps=1)
    assert not record["fits"]
    record |= {"device": "Tesla T4", "memory_gib": 14.7}
    with pytest.raises(InputError) as caught:
        require_fit(record)
    assert "\n" not in str(caught.value)
    for part in (
        "16x16x16, 2 a step, with organs",
        "Tesla T4 and its 14.7 GiB",
        "allocate 3.30 GiB",
        "train.batch_size",
    ):
        assert part in str(caught.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def broken(self, batch):
        raise RuntimeError("cuDNN error")

    monkeypatch.setattr(ClickPetTrainer, "train_step", broken)
    with pytest.raises(RuntimeError, match="cuDNN error"):
        check_training(**TINY, organ_classes=0, steps=1)


@pytest.mark.parametrize(("spacing", "stages"), [(None, 6), ([3, 2, 2], 6)])
def test_the_papers_network_has_its_size(spacing, stages):
    plans = network_plans(nominal_plans(spacing), patch_size=[192] * 3, batch_size=2, organ_classes=15)
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["architecture"]["arch_kwargs"]["n_stages"] == stages
    assert configuration["spacing"] == (spacing or [3.0, 2.036, 2.036])

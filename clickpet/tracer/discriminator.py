"""Which tracer was given? A small network that looks at the MIP (MIP-CNN). Paper, section 2.2, "Tracer Discriminator".

Layers, names and shapes are those of the released network, so that released weights load by name. Its output
is the probability of PSMA (FDG 0, PSMA 1, as released).
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from clickpet.digests import check_recorded
from clickpet.errors import InputError
from clickpet.files import replacing

#: Smallest MIP edge (pixels) that leaves a pixel after the five strided layers.
MIN_SIZE = 62
#: Edge of the features that the released sixth layer wants; a 224 x 224 MIP gives exactly that.
_CONV6_EDGE = 6
#: Augmentation of training MIPs: shift (share of the edge, to both sides), spread of the intensity's logarithm.
_SHIFT = 0.06
_INTENSITY_SPREAD = 0.15
#: MIPs that the first weights are fitted to.
_START_MIPS = 64
#: Share of the training patients of each tracer that only decide when to stop.
_STOPPING_SHARE = 0.2
#: With fewer training patients of a tracer none is spared for that: all learn, for all epochs.
_FEWEST_TO_SPARE = 5
#: Logit of the model that stands in where there is one tracer only.
_CERTAIN = 10.0


class TracerNet(nn.Module):
    """Six convolutions and five linear layers with ReLU; the probability of PSMA by a sigmoid."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 8, stride=2, padding=3)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2)
        self.conv3 = nn.Conv2d(16, 32, 3, stride=2)
        self.conv4 = nn.Conv2d(32, 64, 3, stride=2)
        self.conv5 = nn.Conv2d(64, 128, 3, stride=2)
        self.conv6 = nn.Conv2d(128, 256, _CONV6_EDGE)
        self.fc1 = nn.Linear(256, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 16)
        self.fc4 = nn.Linear(16, 4)
        self.fc5 = nn.Linear(4, 1)

    def features(self, mips: torch.Tensor) -> torch.Tensor:
        """MIPs (n, 1, size, size), SUV, to features (n, 256).

        At 224 x 224 this is the released network. Where a smaller MIP leaves less than 6 x 6 pixels for the sixth
        layer they are padded with zeros; where a larger one leaves more, the layer's outputs are averaged.
        """
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            mips = functional.relu(layer(mips))
        return functional.relu(self.conv6(self.pad(mips))).mean(dim=(2, 3))

    @staticmethod
    def pad(features: torch.Tensor) -> torch.Tensor:
        """Zeros around features of a MIP so small that the sixth layer would not fit."""
        missing = max(0, _CONV6_EDGE - features.shape[-1])
        return functional.pad(features, (missing // 2, missing - missing // 2) * 2)

    def logits(self, mips: torch.Tensor) -> torch.Tensor:
        """MIPs (n, 1, size, size), SUV, to log-odds of PSMA (n,)."""
        values = self.features(mips)
        for layer in (self.fc1, self.fc2, self.fc3, self.fc4):
            values = functional.relu(layer(values))
        return self.fc5(values)[:, 0]

    def forward(self, mips: torch.Tensor) -> torch.Tensor:
        """MIPs (n, 1, size, size), SUV, to the probability of PSMA (n,)."""
        return torch.sigmoid(self.logits(mips))


def train_discriminator(
    mips: np.ndarray,
    is_psma: np.ndarray,
    *,
    validation_mips: np.ndarray,
    validation_is_psma: np.ndarray,
    epochs: int,
    batch_size: int,
    patience: int,
    seed: int,
    learning_rate: float = 1e-4,
    weight_decay: float = 0.01,
) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Train a TracerNet and keep the weights of the epoch with the lowest validation loss.

    mips : float32 (n, size, size), SUV, as `clickpet.tracer.mip.render_mip` gives them;  is_psma : bool (n,).
    validation_mips, validation_is_psma : the same of other patients; they only decide when to stop. With none, all
    `epochs` are trained and the last weights kept.
    epochs : at most;  patience : epochs without a lower validation loss before stopping.

    Binary cross-entropy, AdamW. Training MIPs are shifted, mirrored left-right and scaled in SUV at random. The same
    arguments and the same number of threads give the same weights, bit for bit, on a CPU.

    Returns the state dict and a row for each epoch: "epoch", "train_loss", "train_accuracy" (on the changed MIPs),
    "validation_loss", "validation_accuracy" (None without validation), "best" (True where the weights were kept).
    Raises InputError for MIPs that are too small and InputError if only one tracer is there to learn from.
    """
    _check_size(mips)
    is_psma = np.asarray(is_psma, bool)
    if is_psma.all() or not is_psma.any():
        raise InputError(
            "the discriminator needs train cases of both tracers", mend="use constant_discriminator for one tracer"
        )
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _fresh_network(mips[rng.permutation(len(mips))])
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    history, best_loss, best_epoch, best_weights = [], np.inf, 0, None
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(mips))
        total, right = 0.0, 0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            images = torch.from_numpy(np.stack([_augmented(mips[index], rng) for index in batch]))[:, None]
            logits, truth = network.logits(images), torch.from_numpy(is_psma[batch])
            loss = functional.binary_cross_entropy_with_logits(logits, truth.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(batch)
            right += int(((logits >= 0) == truth).sum())
        row = {"epoch": epoch, "train_loss": total / len(mips), "train_accuracy": right / len(mips)}
        row |= {"validation_loss": None, "validation_accuracy": None}
        if len(validation_mips):
            row["validation_loss"], row["validation_accuracy"] = _evaluated(
                network, validation_mips, validation_is_psma
            )
        loss = row["validation_loss"] if len(validation_mips) else -epoch
        row["best"] = loss < best_loss
        history.append(row)
        if row["best"]:
            best_loss, best_epoch, best_weights = loss, epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= patience:
            break
    if best_weights is None:
        raise InputError("the discriminator's loss is not a number", mend="lower the config key tracer.learning_rate")
    return best_weights, history


def _fresh_network(mips: np.ndarray) -> TracerNet:
    """A network with He-normal weights, fitted to some training MIPs (n, size, size).

    Every layer's outputs start with spread 1, and every unit of the linear layers with mean 0. Eleven layers without
    normalisation on raw SUV, with four units before the last, otherwise start with dead ReLUs in one training out of
    five and then never learn.
    """
    network = TracerNet()
    values = torch.from_numpy(np.asarray(mips[:_START_MIPS], np.float32))[:, None]
    with torch.no_grad():
        for name, layer in network.named_children():
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            if name == "conv6":
                values = network.pad(values)
            outputs = layer(values)
            spread = outputs.std() + 1e-3
            layer.weight /= spread
            if name.startswith("fc"):
                layer.bias -= outputs.mean(dim=0) / spread
            values = functional.relu(layer(values))
            if name == "conv6":
                values = values.mean(dim=(2, 3))
    return network


def _augmented(mip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    reach = round(_SHIFT * len(mip))
    down, right = rng.integers(-reach, reach + 1, 2)
    padded = np.pad(mip, reach)
    moved = padded[reach + down : reach + down + len(mip), reach + right : reach + right + len(mip)]
    if rng.random() < 0.5:
        moved = moved[:, ::-1]
    return (moved * np.exp(_INTENSITY_SPREAD * rng.standard_normal())).astype(np.float32)


def _evaluated(network: TracerNet, mips: np.ndarray, is_psma: np.ndarray) -> tuple[float, float]:
    with torch.no_grad():
        logits = network.logits(torch.from_numpy(np.asarray(mips, np.float32))[:, None])
    truth = torch.from_numpy(np.asarray(is_psma, np.float32))
    loss = functional.binary_cross_entropy_with_logits(logits, truth)
    return float(loss), float(((logits >= 0) == (truth > 0.5)).float().mean())


def _check_size(mips: np.ndarray) -> None:
    if mips.ndim != 3 or mips.shape[1] != mips.shape[2] or mips.shape[1] < MIN_SIZE:
        raise InputError(
            f"the discriminator cannot look at MIPs of shape {tuple(mips.shape[1:])}",
            where="config key tracer.size",
            mend=f"set it to {MIN_SIZE} or more (the paper's is 224)",
        )


def constant_discriminator(tracer: str) -> dict[str, torch.Tensor]:
    """Weights of a TracerNet that always answers `tracer`: for folds whose train cases have one tracer only."""
    weights = {name: torch.zeros_like(tensor) for name, tensor in TracerNet().state_dict().items()}
    weights["fc5.bias"] += _CERTAIN if tracer == "psma" else -_CERTAIN
    return weights


def train_fold(
    mips: np.ndarray,
    tracers: Sequence[str],
    patients: Sequence[str],
    held_out: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    patience: int,
    seed: int,
    learning_rate: float,
    weight_decay: float,
) -> tuple[dict[str, torch.Tensor], dict]:
    """Train the discriminator of a fold: neither weights nor the moment of stopping know the held-out patients.

    mips : float32 (n, size, size), SUV;  tracers, patients : of each MIP;  held_out : bool (n,), the fold's own cases
    (none for the fold "all"). Early stopping looks at patients drawn from the training cases (`draw_stopping_cases`).

    Returns the state dict and the record for training.json: "train", "stopping", "held_out" (numbers of cases),
    "constant" (the only tracer among the training cases, or None), "held_out_loss", "held_out_accuracy" (None
    without such cases), "best_epoch" and "epochs" (the curve).
    """
    is_psma = np.array([tracer == "psma" for tracer in tracers])
    training = np.flatnonzero(~held_out)
    if not training.size:
        raise InputError("no train cases outside the fold", mend="name fewer folds in the config key folds")
    names = sorted({tracers[index] for index in training})
    if len(names) == 1:
        print(f"All {training.size} training cases are {names[0]}: a model that always answers {names[0]}, no training")
        weights, history, stopping = constant_discriminator(names[0]), [], np.zeros(0, int)
    else:
        stops = draw_stopping_cases(
            [tracers[index] for index in training], [patients[index] for index in training], seed=seed
        )
        training, stopping = training[~stops], training[stops]
        weights, history = train_discriminator(
            mips[training],
            is_psma[training],
            validation_mips=mips[stopping],
            validation_is_psma=is_psma[stopping],
            epochs=epochs,
            batch_size=batch_size,
            patience=patience,
            seed=seed,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
        )
    loss, accuracy = (None, None)
    if held_out.any():
        loss, accuracy = _evaluated(_network(weights), mips[held_out], is_psma[held_out])
    record = {
        "train": int(training.size),
        "stopping": int(stopping.size),
        "held_out": int(held_out.sum()),
        "constant": names[0] if len(names) == 1 else None,
        "held_out_loss": loss,
        "held_out_accuracy": accuracy,
        "best_epoch": max((row["epoch"] for row in history if row["best"]), default=None),
        "epochs": history,
    }
    return weights, record


def draw_stopping_cases(tracers: Sequence[str], patients: Sequence[str], *, seed: int) -> np.ndarray:
    """Choose about a fifth of the patients of each tracer for early stopping: bool (n,), whole patients.

    None at all where a tracer has fewer than five patients (then they are needed to learn from, and validation on one
    tracer would favour it), or where the choice, by patients with both tracers, would leave a tracer nobody.
    """
    rng = np.random.default_rng([seed, 1])
    of_tracer = {
        tracer: sorted({patient for patient, own in zip(patients, tracers, strict=True) if own == tracer})
        for tracer in sorted(set(tracers))
    }
    chosen: set[str] = set()
    if all(len(own) >= _FEWEST_TO_SPARE for own in of_tracer.values()):
        for own in of_tracer.values():
            chosen.update(own[index] for index in rng.permutation(len(own))[: round(_STOPPING_SHARE * len(own))])
    if any(chosen.issuperset(own) for own in of_tracer.values()):
        chosen = set()
    return np.array([patient in chosen for patient in patients], bool)


def find_tracer(mip: np.ndarray, models: Sequence[dict[str, torch.Tensor]]) -> dict:
    """Let the members of an ensemble vote on the tracer of a study.

    mip : float32 (size, size), SUV;  models : state dicts. The majority decides; where it is a tie, the mean
    probability does (PSMA from 0.5 on).
    Returns "tracer", "source" ("found"), "probability_psma" (of each member) and "votes" (number for each tracer).
    """
    _check_size(mip[None])
    image = torch.from_numpy(np.ascontiguousarray(mip, np.float32))[None, None]
    with torch.no_grad():
        probabilities = [float(_network(weights)(image)) for weights in models]
    for_psma = sum(probability >= 0.5 for probability in probabilities)
    return {
        "tracer": majority(probabilities),
        "source": "found",
        "probability_psma": probabilities,
        "votes": {"fdg": len(probabilities) - for_psma, "psma": for_psma},
    }


def majority(probabilities: Sequence[float]) -> str:
    """Tracer that most of the members' probabilities of PSMA speak for; in a tie their mean decides."""
    for_psma = sum(probability >= 0.5 for probability in probabilities)
    if 2 * for_psma == len(probabilities):
        return "psma" if np.mean(probabilities) >= 0.5 else "fdg"
    return "psma" if 2 * for_psma > len(probabilities) else "fdg"


def save_discriminator(path: str | Path, weights: dict[str, torch.Tensor]) -> None:
    """Write a state dict, whole or not at all."""
    # an open file, because torch writes a file's name into it
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save(weights, file)


def load_discriminator(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict of a TracerNet, own or released, without running any code that the file may hold.

    Raises InputError if the file is missing, is not a plain state dict, or its names, shapes or (where training or
    import recorded them) values are others.
    """
    if not Path(path).is_file():
        raise InputError("no such file", where=path, mend="train the discriminator or import its weights")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(
            f"is no file of network weights ({type(error).__name__})", where=path, mend="give a torch state dict"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in TracerNet().state_dict().items()}
    found = {name: tuple(getattr(tensor, "shape", ())) for name, tensor in weights.items()} if _is_dict(weights) else {}
    if found != expected:
        wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        raise InputError(
            f"is no tracer discriminator ({len(wrong)} names or shapes are others: {', '.join(wrong[:3])})",
            where=path,
            mend="give weights with conv1..conv6 and fc1..fc5",
        )
    check_recorded(path, weights)
    return weights


def _is_dict(weights: object) -> bool:
    return isinstance(weights, dict) and all(isinstance(name, str) for name in weights)


def _network(weights: dict[str, torch.Tensor]) -> TracerNet:
    network = TracerNet()
    network.load_state_dict(weights)
    return network.eval()


def accuracy_report(rows: Sequence[dict]) -> dict:
    """How often the discriminator is right.

    rows : dicts with "case", "tracer" (true), "tracer_found", "source" and "fold" (None for the whole ensemble).
    Returns "n", "correct", "accuracy" with its 95 % Wilson interval ("accuracy_low", "accuracy_high"), "confusion"
    (true tracer -> found tracer -> number), "wrong" (cases) and "folds" (n, correct, accuracy; "ensemble" for cases
    that the whole ensemble voted on). Rows whose tracer was not found by the network are only counted, in
    "not_asked".
    """
    asked = [row for row in rows if row["source"] == "found"]
    correct = sum(row["tracer"] == row["tracer_found"] for row in asked)
    low, high = wilson_interval(correct, len(asked))
    folds = {}
    for fold in sorted({_fold_name(row) for row in asked}, key=lambda name: (len(name), name)):
        of_fold = [row["tracer"] == row["tracer_found"] for row in asked if _fold_name(row) == fold]
        folds[fold] = {"n": len(of_fold), "correct": sum(of_fold), "accuracy": sum(of_fold) / len(of_fold)}
    return {
        "n": len(asked),
        "not_asked": len(rows) - len(asked),
        "correct": correct,
        "accuracy": correct / len(asked) if asked else None,
        "accuracy_low": low,
        "accuracy_high": high,
        "confusion": {
            true: {
                found: sum(row["tracer"] == true and row["tracer_found"] == found for row in asked)
                for found in ("fdg", "psma")
            }
            for true in ("fdg", "psma")
        },
        "wrong": [row["case"] for row in asked if row["tracer"] != row["tracer_found"]],
        "folds": folds,
    }


def _fold_name(row: dict) -> str:
    return "ensemble" if row["fold"] is None else str(row["fold"])


def wilson_interval(correct: int, n: int) -> tuple[float | None, float | None]:
    """95 % confidence interval of a share by Wilson's score; (None, None) for n = 0."""
    if n == 0:
        return None, None
    z = 1.959963984540054
    share = correct / n
    middle = share + z * z / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float((middle - reach) / (1 + z * z / n))), min(1.0, float((middle + reach) / (1 + z * z / n)))

"""Training of the tracer discriminator: one fold, early stopping on patients of its own training cases."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from clickpet.errors import InputError
from clickpet.tracer.network import TracerNet, check_size, network_of

#: Augmentation of training MIPs: shift (share of the edge, to both sides), spread of the intensity's logarithm.
AUGMENT_SHIFT = 0.06
AUGMENT_INTENSITY = 0.15
#: MIPs that the first weights are fitted to.
INIT_MIPS = 64
#: Share of the training patients of each tracer that only decide when to stop.
STOPPING_SHARE = 0.2
#: With fewer training patients of a tracer none is spared for that: all learn, for all epochs.
MIN_PATIENTS_TO_STOP = 5
#: Logit of the model that stands in where there is one tracer only.
CONSTANT_LOGIT = 10.0


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
        loss, accuracy = _validation_loss(network_of(weights), mips[held_out], is_psma[held_out])
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
    check_size(mips)
    is_psma = np.asarray(is_psma, bool)
    if is_psma.all() or not is_psma.any():
        raise InputError(
            "the discriminator needs train cases of both tracers", mend="use constant_discriminator for one tracer"
        )
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = initial_network(mips[rng.permutation(len(mips))])
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    history, best_loss, best_epoch, best_weights = [], np.inf, 0, None
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(mips))
        total, right = 0.0, 0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            images = torch.from_numpy(np.stack([augmented(mips[index], rng) for index in batch]))[:, None]
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
            row["validation_loss"], row["validation_accuracy"] = _validation_loss(
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
    if all(len(own) >= MIN_PATIENTS_TO_STOP for own in of_tracer.values()):
        for own in of_tracer.values():
            chosen.update(own[index] for index in rng.permutation(len(own))[: round(STOPPING_SHARE * len(own))])
    if any(chosen.issuperset(own) for own in of_tracer.values()):
        chosen = set()
    return np.array([patient in chosen for patient in patients], bool)


def constant_discriminator(tracer: str) -> dict[str, torch.Tensor]:
    """Weights of a TracerNet that always answers `tracer`: for folds whose train cases have one tracer only."""
    weights = {name: torch.zeros_like(tensor) for name, tensor in TracerNet().state_dict().items()}
    weights["fc5.bias"] += CONSTANT_LOGIT if tracer == "psma" else -CONSTANT_LOGIT
    return weights


def initial_network(mips: np.ndarray) -> TracerNet:
    """A network with He-normal weights, fitted to some training MIPs (n, size, size).

    Every layer's outputs start with spread 1, and every unit of the linear layers with mean 0. Eleven layers without
    normalisation on raw SUV, with four units before the last, otherwise start with dead ReLUs in one training out of
    five and then never learn.
    """
    network = TracerNet()
    values = torch.from_numpy(np.asarray(mips[:INIT_MIPS], np.float32))[:, None]
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


def augmented(mip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`mip` (size, size) shifted, mirrored left-right and scaled in SUV at random: a new array."""
    reach = round(AUGMENT_SHIFT * len(mip))
    down, right = rng.integers(-reach, reach + 1, 2)
    padded = np.pad(mip, reach)
    moved = padded[reach + down : reach + down + len(mip), reach + right : reach + right + len(mip)]
    if rng.random() < 0.5:
        moved = moved[:, ::-1]
    return (moved * np.exp(AUGMENT_INTENSITY * rng.standard_normal())).astype(np.float32)


def _validation_loss(network: TracerNet, mips: np.ndarray, is_psma: np.ndarray) -> tuple[float, float]:
    """Mean binary cross-entropy and accuracy of `network` on `mips` (n, size, size)."""
    with torch.no_grad():
        logits = network.logits(torch.from_numpy(np.asarray(mips, np.float32))[:, None])
    truth = torch.from_numpy(np.asarray(is_psma, np.float32))
    loss = functional.binary_cross_entropy_with_logits(logits, truth)
    return float(loss), float(((logits >= 0) == (truth > 0.5)).float().mean())

"""Workers: every batch has its own seed, and none outlives the training."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from clickpet.train.loading import seed_generators

ROOT = Path(__file__).parents[3]
#: A training that only starts workers with our loader, tells their process ids and what they drew, and waits.
PROGRAM = """
import os, sys, time
from functools import partial
import numpy as np, torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from clickpet.train.loading import SeededLoader, seed_generators
class Data:
    identifiers = ["a"]
class Labels:
    all_labels, has_ignore_label = [0, 1], False
class Drawing(SeededLoader):
    def generate_train_batch(self):
        return {"worker": self.thread_id, "numpy": np.random.randint(2**31), "torch": torch.rand(1).item()}
loader = Drawing(Data(), 2, (4, 4, 4), (4, 4, 4), Labels(), seed=partial(seed_generators, 42, "0", 0, int(sys.argv[1])))
batches = NonDetMultiThreadedAugmenter(loader, None, num_processes=3, num_cached=2, wait_time=0.002)
drawn = {worker: [] for worker in range(3)}
while min(map(len, drawn.values())) < 4:  # one may be there long before the others
    one = next(batches)
    drawn[one["worker"]].append((one["worker"], one["numpy"], one["torch"]))
print([one for first in drawn.values() for one in first[:4]], flush=True)
print([process.pid for process in batches._processes], flush=True)
time.sleep(120)
"""


def start(epoch: int):
    """The program, what its workers drew, and their ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(epoch)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    drawn, workers = (eval(process.stdout.readline()) for _ in range(2))
    return process, drawn, workers


def gone(pids, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_die_with_their_training(how):
    process, drawn, workers = start(0)
    assert len(workers) == 3
    assert not gone(workers, 0.5)
    process.send_signal(how)
    process.wait()
    assert gone(workers)
    assert len({numbers for _, numbers, _ in drawn}) == len({number for *_, number in drawn}) == 12


def test_a_resumed_training_does_not_replay_and_the_same_epoch_does():
    kept = []
    for epoch in (0, 0, 5):
        process, drawn, _ = start(epoch)
        process.kill()
        process.wait()
        kept.append({tuple(one) for one in drawn})
    first, again, later = kept
    assert first == again
    assert not first & later


def test_seeds_reach_all_generators():
    def draw(*what):
        seed_generators(*what)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw(1, "0", 2) == draw(1, "0", 2)
    several = [draw(*what) for what in ((1, "0", 2), (1, "0", 3), (1, "1", 2), (2, "0", 2), (1, "all", 2))]
    assert all(len(set(column)) == len(several) for column in zip(*several, strict=True))

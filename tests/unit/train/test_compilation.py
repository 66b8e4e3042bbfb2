import re

import pytest
import torch

from clickpet.train import compilation
from clickpet.train.compilation import compile_obstacle
from clickpet.train.loss import LesionAndOrganLoss


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with Python's headers and so many compilers."""

    def make(*programs, headers=True, cc=None):
        monkeypatch.setattr(compilation.shutil, "which", lambda name: f"/bin/{name}" if name in programs else None)
        monkeypatch.setattr(compilation.sysconfig, "get_path", lambda name: str(tmp_path))
        if headers:
            (tmp_path / "Python.h").touch()
        monkeypatch.delenv("CC", raising=False)
        if cc:
            monkeypatch.setenv("CC", cc)

    return make


@pytest.mark.parametrize(
    ("programs", "options", "obstacle"),
    [
        (["gcc"], {}, None),
        (["clang"], {}, None),
        (["icx"], {"cc": "icx"}, None),
        ([], {}, r"no C compiler \(gcc or clang\)"),
        (["gcc"], {"cc": "icx"}, "no C compiler icx"),
        (["gcc"], {"headers": False}, "Python's headers are not in"),
    ],
)
def test_what_a_machine_lacks(machine, programs, options, obstacle):
    machine(*programs, **options)
    if obstacle is None:
        assert compile_obstacle() is None
    else:
        assert re.search(obstacle, compile_obstacle())


def test_the_dice_of_both_heads_is_compiled_where_asked_for(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
    LesionAndOrganLoss(batch_dice=False, ddp=False, organ_weight=1.0)
    assert compiled == []
    loss = LesionAndOrganLoss(batch_dice=False, ddp=False, organ_weight=1.0, compiled=True)
    assert compiled == [loss.lesion.dc, loss.organ.dc]

"""`import clickpet`: light, lazy, complete, and without effect on the session."""

import ast
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import clickpet

ROOT = Path(__file__).parents[2]
NAMES = [name for name in clickpet.__all__ if name != "__version__"]
#: More than enough for reading one short file (2 ms), and far less than numpy (0.1 s) or torch (seconds) take.
MOST_S = 0.05


def in_new_python(code: str):
    """What a fresh interpreter prints as JSON; of the environment it gets what a shell would have, and no more."""
    shell = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=shell)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_import_takes_milliseconds_and_loads_nothing_but_itself():
    seconds, modules = in_new_python(
        "import sys, time, json, importlib\n"
        "before, start = set(sys.modules), time.perf_counter()\n"
        "import clickpet\n"
        "print(json.dumps([time.perf_counter() - start, sorted(set(sys.modules) - before)]))"
    )
    assert modules == ["clickpet", "clickpet.lazy_names"]
    assert seconds < MOST_S


def test_a_name_loads_its_own_module_and_not_the_heavy_ones():
    loaded = in_new_python(
        "import sys, json, clickpet\n"
        "clickpet.InputError, clickpet.read_image, clickpet.Clicks, clickpet.draw_heatmap, clickpet.score_masks\n"
        "print(json.dumps([name for name in ('torch', 'nnunetv2', 'snakemake', 'matplotlib') if name in sys.modules]))"
    )
    assert loaded == []


def test_using_all_of_it_leaves_the_session_as_it_was():
    """Other packages change the session when they are imported; what is left to see is what clickpet does."""
    use = "import clickpet\nfor name in clickpet.__all__: getattr(clickpet, name)\n"
    others = in_new_python(
        f"import json, sys\n{use}"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] not in ('clickpet', '__main__')]))"
    )
    assert {"torch", "nibabel", "numpy"} <= set(others)
    before, after = in_new_python(
        "import importlib, json, logging, os, signal, sys, warnings\n"
        f"for name in {others}:\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError: pass\n"
        "import numpy, pydicom, torch\n"
        "def session():\n"
        "    return [\n"
        "        [str(type(finder)) for finder in sys.meta_path], dict(os.environ), os.getcwd(), sys.path,\n"
        "        [str(one) for one in warnings.filters], [str(one) for one in logging.getLogger().handlers],\n"
        "        logging.getLogger('pydicom').level, str(pydicom.config.settings.reading_validation_mode),\n"
        "        torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), numpy.geterr(),\n"
        "        str(signal.getsignal(signal.SIGTERM)), numpy.random.get_state()[1].tolist()[:3],\n"
        "        sorted(name for name in sys.modules if name.split('.')[0] != 'clickpet'),\n"
        "    ]\n"
        f"before = session()\n{use}"
        "print(json.dumps([before, session()]))"
    )
    assert after == before


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_module_defines_and_says_what_it_is(name):
    thing = getattr(clickpet, name)
    module = clickpet._MODULES[name]
    assert thing is getattr(importlib.import_module(module), name)
    assert thing.__module__ == module, "it is imported there from another module: name that one"
    assert thing.__doc__


def test_the_names_are_listed_and_no_others_are_there():
    assert set(NAMES) <= set(dir(clickpet))
    assert len(set(clickpet.__all__)) == len(clickpet.__all__)
    everything = {}
    exec("from clickpet import *", everything)
    assert set(clickpet.__all__) <= set(everything)
    assert not hasattr(clickpet, "predict_everything")
    with pytest.raises(AttributeError, match="module 'clickpet' has no attribute 'segment_patients'"):
        clickpet.segment_patients  # noqa: B018
    with pytest.raises(ImportError):
        exec("from clickpet import segment_patients")


@pytest.mark.parametrize("name", NAMES)
def test_ct_comes_before_pet_and_the_affine_is_the_only_geometry(name):
    thing = getattr(clickpet, name)
    if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, Exception)):
        pytest.skip("has no arguments")
    parameters = inspect.signature(thing).parameters
    order = list(parameters)
    for pet in {"pet", "suv"} & set(order):
        if "ct" in order:
            assert order.index("ct") < order.index(pet)
            assert all(parameters[one].kind == inspect.Parameter.KEYWORD_ONLY for one in ("ct", pet))
    if "affine" in order:
        assert not {"spacing_mm", "voxel_volume_ml", "voxel_volume_mm3", "spacing"} & set(order)


@pytest.mark.parametrize("folder", ["clickpet", "scripts"])
def test_the_library_itself_imports_from_the_modules(folder):
    """Code keys follow imports to their modules; they cannot see through the face."""
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "clickpet":
                assert not {alias.name for alias in node.names} & set(NAMES), file

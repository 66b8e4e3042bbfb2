"""Light imports; each test in a Python of its own, since imports last."""

import subprocess
import sys

import pytest

START = "import sys; from clickpet.workflow.startup import import_lazily, light_imports; light_imports();"


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "module", ["images", "clicks.heatmap", "tracer.mip", "postprocess.specks", "ingest.quality", "evaluate.scores"]
)
def test_small_jobs_load_neither_pydicom_nor_pandas_nor_torch(module):
    run(
        f"{START} import clickpet.images, clickpet.{module};"
        "assert not {'pydicom', 'pandas', 'torch', 'SimpleITK'} & set(sys.modules)"
    )


def test_pydicom_can_be_imported_after_nibabel():
    run(f"{START} import clickpet.images, pydicom; assert pydicom.Dataset")


def test_a_pydicom_that_is_there_already_stays():
    run(f"import pydicom as before; {START} import clickpet.images; assert sys.modules['pydicom'] is before")


def test_nnunets_light_half_loads_no_heavy_module_until_it_is_used():
    run(
        f"{START} from nnunetv2.utilities.plans_handling.plans_handler import PlansManager;"
        "from nnunetv2.preprocessing.resampling import default_resampling;"
        "assert not {'pandas.core', 'SimpleITK.SimpleITK'} & set(sys.modules);"
        "import numpy; assert default_resampling.pd.unique(numpy.ones(2)).tolist() == [1];"
        "assert 'pandas.core' in sys.modules"
    )


def test_a_module_that_was_lazy_is_the_module():
    run(
        f"{START} import_lazily('pandas', 'no_such_module');"
        "import pandas as early; import pandas.api.types, pandas; from pandas import DataFrame;"
        "assert pandas.DataFrame is DataFrame and early.DataFrame is DataFrame;"
        "assert type(sys.modules['pandas']).__name__ == 'module';"
        "assert 'no_such_module' not in sys.modules"
    )


def test_a_module_that_is_there_already_stays():
    run(f"import pandas as before; {START} import_lazily('pandas'); import pandas; assert pandas is before")


IMPORT_LIBRARY = """
import importlib, pkgutil, clickpet
for _, name, _ in pkgutil.walk_packages(clickpet.__path__, "clickpet."):
    if not name.startswith(("clickpet.workflow", "clickpet.cli")):
        importlib.import_module(name)
"""
STATE = """
def state():
    return {
        "environment": dict(os.environ),
        "import hooks": list(sys.meta_path),
        "warnings": list(warnings.filters),
        "matplotlib": dict(matplotlib.rcParams),
        "pydicom": pydicom.config.settings.reading_validation_mode,
        "logging": logging.getLogger().handlers[:],
        "threads": torch.get_num_threads(),
        "random": (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
    }
"""


def test_importing_the_library_changes_nothing_in_a_session():
    listing = IMPORT_LIBRARY + "import sys; print(*(name for name in sys.modules if not name.startswith('clickpet')))"
    listed = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True).stdout.split()
    run(
        f"""
import importlib, logging, os, random, sys, warnings
for name in {listed!r}:  # what other packages change when they are imported is theirs
    try:
        importlib.import_module(name)
    except Exception:
        pass
import matplotlib, numpy, pydicom, torch
{STATE}
before = state()
{IMPORT_LIBRARY}
after = state()
assert before == after, [name for name in before if before[name] != after[name]]
"""
    )

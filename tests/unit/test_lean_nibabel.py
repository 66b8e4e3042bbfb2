"""nibabel without pydicom, and pydicom afterwards; each in a Python of its own, since imports last."""

import subprocess
import sys

import pytest


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", ["images", "heatmap", "mip", "postprocess", "quality"])
def test_small_jobs_load_neither_pydicom_nor_pandas_nor_torch(module):
    run(
        f"import sys, clickpet.images, clickpet.{module};"
        "assert not {'pydicom', 'pandas', 'torch', 'SimpleITK'} & set(sys.modules)"
    )


def test_pydicom_can_be_imported_afterwards():
    run("import clickpet.images, pydicom; assert pydicom.Dataset")


def test_a_pydicom_that_is_there_already_stays():
    run("import pydicom as before, clickpet.images, sys; assert sys.modules['pydicom'] is before")

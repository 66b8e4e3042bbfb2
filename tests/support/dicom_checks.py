"""Programs from elsewhere that check or read DICOM objects; without them the tests that need them are skipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from clickpet.images import Image, read_image, resample

needs_dciodvfy = pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian: dicom3tools) not installed")
needs_plastimatch = pytest.mark.skipif(not shutil.which("plastimatch"), reason="plastimatch is not installed")


def standard_errors(path: Path) -> list[str]:
    """What dciodvfy calls an error in a DICOM object."""
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert any(line.strip() in ("Segmentation", "RTStructureSet", "ComprehensiveSR") for line in lines), lines
    return [line for line in lines if line.startswith("Error")]


def plastimatch_regions(path: Path, series: Path, onto: Image, folder: Path) -> dict[str, np.ndarray]:
    """Masks (bool, on the grid of `onto`) of the regions of an RTSTRUCT as plastimatch fills them, by name."""
    command = ["plastimatch", "convert", "--input", path, "--referenced-ct", series, "--output-prefix", folder]
    subprocess.run([*map(str, command), "--prefix-format", "nii.gz"], check=True, capture_output=True)
    found = {}
    for file in folder.glob("*.nii.gz"):
        image = read_image(file)
        filled = Image(image.array.astype(np.float32), image.affine)
        found[file.name.removesuffix(".nii.gz")] = (
            resample(filled, onto.shape, onto.affine, order="nearest", outside=0) > 0.5
        )
    return found

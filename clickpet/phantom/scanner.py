"""The phantom's scanners: grids, resolution and noise of PET and CT."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from clickpet.phantom.tissues import TISSUES

#: Finer grid on which PET and CT are drawn before the voxels average over it.
OVERSAMPLING = 2
#: name: voxels and spacing (mm) of the PET.
GRIDS = {
    "fdg": ((56, 44, 96), (6.0, 6.0, 9.0)),
    "psma": ((52, 40, 104), (6.5, 6.5, 8.25)),
    "psma_other": ((48, 38, 116), (7.0, 7.0, 7.4)),
}
#: Height (mm) of the lowest slice's lower face.
FLOOR_MM = -62.0
#: centre: point spread (FWHM, mm) and variance of the noise over SUV.
SCANNERS = {"UKT": (6.5, 0.014), "LMU": (8.0, 0.022)}
CT_OWN_SPACING_MM = (3.1, 3.1, 4.0)
CT_NOISE_HU = 14.0


def grid_affine(shape, spacing, directions: str) -> np.ndarray:
    """Affine of a grid that is centred in x and y and starts at the floor in z; `directions` of x and y, e.g. "LA"."""
    signs = np.array([1 if directions[0] == "R" else -1, 1 if directions[1] == "A" else -1, 1])
    affine = np.diag([*(signs * spacing), 1.0])
    affine[:2, 3] = -signs[:2] * spacing[:2] * (np.array(shape[:2]) - 1) / 2
    affine[2, 3] = FLOOR_MM + spacing[2] / 2
    return affine


def finer_affine(affine) -> np.ndarray:
    """The affine of the grid that divides every voxel into OVERSAMPLING parts per axis."""
    finer = affine.copy()
    finer[:3, :3] /= OVERSAMPLING
    finer[:3, 3] = affine[:3, 3] - (affine[:3, :3] - finer[:3, :3]).sum(axis=1) / 2
    return finer


def grid_axes(shape, affine) -> tuple[np.ndarray, ...]:
    """Millimetres of the voxel centres along each axis (the affine has no rotation)."""
    return tuple(
        (affine[axis, axis] * np.arange(length) + affine[axis, 3]).astype(np.float32)
        for axis, length in enumerate(shape)
    )


def voxel_means(volume) -> np.ndarray:
    """Mean over each voxel's parts, float32."""
    x, y, z = (length // OVERSAMPLING for length in volume.shape)
    parts = volume.reshape(x, OVERSAMPLING, y, OVERSAMPLING, z, OVERSAMPLING)
    return parts.mean(axis=(1, 3, 5), dtype=np.float32)


def scan_pet(activity, spacing, scanner, rng) -> np.ndarray:
    """PET of an activity on the fine grid: point spread, voxel average, noise whose variance goes with the SUV."""
    fwhm_mm, noise = scanner
    sigma_vox = [fwhm_mm / 2.355 / (edge / OVERSAMPLING) for edge in spacing]
    clean = voxel_means(ndimage.gaussian_filter(activity, sigma_vox, mode="constant"))
    grain = ndimage.gaussian_filter(rng.standard_normal(clean.shape), 0.55)
    grain /= grain.std()
    return np.maximum(clean + np.sqrt(noise * clean) * grain, 0).astype(np.float32)


def ct_density(tissues, axes, lesions) -> np.ndarray:
    """HU of each voxel, float32; lesions are soft tissue, in bone they are dense."""
    density = np.array([tissue.hu for tissue in TISSUES.values()], np.float32)[tissues]
    for lesion in lesions:
        for lobe in lesion["lobes"]:
            for part, inside in lobe.parts(axes):
                values = density[part]
                values[inside] = np.where(values[inside] > 200, values[inside] + 150, 45)
    return density

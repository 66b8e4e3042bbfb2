"""One PET/CT study of the phantom: anatomy, lesions, scan and clicks put together."""

from __future__ import annotations

import numpy as np

from clickpet.organs.labels import ORGANS
from clickpet.phantom.anatomy import Body, paint_tissues
from clickpet.phantom.clicks import reader_clicks
from clickpet.phantom.lesions import place_foci, place_lesions
from clickpet.phantom.scanner import (
    CT_NOISE_HU,
    CT_OWN_SPACING_MM,
    GRIDS,
    OVERSAMPLING,
    SCANNERS,
    ct_density,
    finer_affine,
    grid_affine,
    grid_axes,
    scan_pet,
    voxel_means,
)
from clickpet.phantom.seeds import generator
from clickpet.phantom.shapes import Ellipsoid, fill
from clickpet.phantom.tissues import TISSUES


def make_study(
    case: str,
    *,
    tracer: str,
    patient: str,
    seed: int,
    centre: str = "UKT",
    healthy: bool = False,
    ct_own_grid: bool = False,
    grid: str = "fdg",
) -> dict:
    """One PET/CT study, always the same for the same arguments.

    case : name of the study, decides lesions, benign foci, bladder filling and noise.
    tracer : "fdg" or "psma".  patient : decides anatomy and uptake.  seed : decides everything.
    centre : "UKT" or "LMU", sharpness and noise of the scanner.  healthy : no lesions.
    ct_own_grid : the CT comes on a finer grid of its own, in another orientation.  grid : a key of GRIDS.

    Returns "pet" (float32, SUV g/ml), "label" (uint8 0/1) and "organs" (uint8, values of
    clickpet.organs.labels.ORGANS), all (x, y, z) on the grid of "affine"; "ct" (int16, HU) on the grid of "ct_affine";
    "lesions" and "foci" (lists of dicts with site, kind, centre_mm, radii_mm, suv); "clicks" (Grand Challenge JSON:
    10 tumour clicks, unless healthy, and 10 background clicks).
    """
    shape, spacing = GRIDS[grid]
    affine = grid_affine(shape, spacing, "LA")
    fine_shape = tuple(OVERSAMPLING * length for length in shape)
    fine = grid_axes(fine_shape, finer_affine(affine))
    body = Body(seed, patient, case, tracer)

    tissues = paint_tissues(body, fine)
    foci = place_foci(body, tissues, fine)
    lesions = [] if healthy else place_lesions(body, tissues, fine, foci)

    activity = body.uptake[tissues]
    for focus in foci:
        fill(activity, fine, Ellipsoid(focus["centre_mm"], focus["radii_mm"]), focus["suv"])
    lesion_share = np.zeros(fine_shape, np.float32)
    for lesion in lesions:
        for lobe in lesion["lobes"]:
            fill(activity, fine, lobe, lesion["suv"])
            fill(lesion_share, fine, lobe, 1)
    label = (voxel_means(lesion_share) >= 0.5).astype(np.uint8)
    pet = scan_pet(activity, spacing, SCANNERS[centre], generator(seed, case, "noise"))

    if ct_own_grid:
        extent_mm = [length * edge for length, edge in zip(shape, spacing, strict=True)]
        ct_shape = tuple(round(extent / edge) for extent, edge in zip(extent_mm, CT_OWN_SPACING_MM, strict=True))
        ct_affine = grid_affine(ct_shape, CT_OWN_SPACING_MM, "RP")
        ct_axes = grid_axes(ct_shape, ct_affine)
        density = ct_density(paint_tissues(body, ct_axes), ct_axes, lesions)
    else:
        ct_affine = affine
        density = voxel_means(ct_density(tissues, fine, lesions))
    noise = generator(seed, case, "ct").normal(0, CT_NOISE_HU, density.shape)
    organ_lut = np.array([ORGANS.get(tissue.organ, 0) for tissue in TISSUES.values()], np.uint8)
    return {
        "pet": pet,
        "label": label,
        "organs": organ_lut[paint_tissues(body, grid_axes(shape, affine))],
        "affine": affine,
        "ct": np.clip(np.rint(density + noise), -1024, 3071).astype(np.int16),
        "ct_affine": ct_affine,
        "lesions": lesions,
        "foci": foci,
        "clicks": reader_clicks(pet, label, spacing, generator(seed, case, "clicks")),
    }

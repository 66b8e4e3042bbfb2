"""A lesion component cut between tumour and background clicks that share it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.morphology import reconstruction
from skimage.segmentation import watershed

from clickpet.geometry import spacing_mm
from clickpet.postprocess.component_window import LESION_NEIGHBOURS, Window
from clickpet.postprocess.nearest_click import is_nearer

#: A background click has a peak of its own if every way to a tumour click leads below this share of both.
VALLEY_SHARE = 0.5
#: Sigma of the Gaussian derivatives, voxels, and the voxels that they reach.
_SIGMA_VOX = 1.0
_REACH_VOX = 5
_TUMOR, _RIM, _PEAK = 1, 2, 3


def cut_component(
    suv: np.ndarray, window: Window, member: np.ndarray, tumor: np.ndarray, background: np.ndarray, affine: np.ndarray
) -> np.ndarray:
    """The part of a component that goes with its background clicks; the rest stays with its tumour clicks.

    suv : float (x, y, z), g/ml, finite;  window, member : a component, see `component_at`;  tumor, background : int
    (n, 3), voxels x, y, z of the volume, at least one of each, all in the component, none of both kinds;  affine :
    (4, 4), voxel to RAS mm.

    A voxel goes if it is nearer (mm) to a background click than to every tumour click, and if a watershed of the uptake
    from the clicks, hottest first, gives it to a background click. Where that click has a peak of its own (see
    VALLEY_SHARE) the border is thus the valley between the two, and the click takes the organ beside a lesion. Where it
    has none it lies at the lesion's rim, and a watershed of the uptake's gradient has to give the voxel to a background
    click, too: the border is the edge of the lesion, and the click takes the rim. What is not connected (18) to a
    background click through voxels that go stays. The voxel of a background click always goes, that of a tumour click
    never does.

    Returns bool, of the shape of `member`.
    """
    edges = np.array(spacing_mm(affine))
    low = np.array([part.start for part in window])
    uptake = np.ascontiguousarray(suv[window], np.float64)
    tumor_at, background_at = (tuple((points - low).T) for points in (tumor, background))
    markers = np.zeros(member.shape, np.int32)
    markers[tumor_at] = _TUMOR
    markers[background_at] = np.where(_has_own_peak(uptake, member, tumor_at, background_at), _PEAK, _RIM)
    how = {"connectivity": LESION_NEIGHBOURS, "mask": member}
    owner = watershed(-uptake, markers, **how)
    goes = owner >= _RIM
    if (owner == _RIM).any():
        goes &= (owner == _PEAK) | (watershed(_gradient(suv, window, edges), markers, **how) >= _RIM)
    goes[goes] = is_nearer(np.argwhere(goes) + low, background, tumor, edges)
    goes[background_at] = True
    labels, _ = ndimage.label(goes, LESION_NEIGHBOURS)
    return np.isin(labels, labels[background_at])


def _has_own_peak(uptake: np.ndarray, member: np.ndarray, tumor_at, background_at) -> np.ndarray:
    """Which background clicks have a valley between themselves and every tumour click: bool (n,)."""
    ground = uptake[member].min()
    seed = np.full(uptake.shape, ground)
    seed[tumor_at] = uptake[tumor_at]
    # the highest level, at most the tumour click's own, at which a way from a tumour click leads to each voxel
    passes = reconstruction(seed, np.where(member, uptake, ground), footprint=LESION_NEIGHBOURS)
    lower = np.minimum(uptake[background_at], uptake[tumor_at].max())
    return passes[background_at] < VALLEY_SHARE * lower


def _gradient(suv: np.ndarray, window: Window, edges: np.ndarray) -> np.ndarray:
    """Magnitude of the uptake's gradient in a window, g/ml per mm; float64, what lies around the window counts."""
    wide = tuple(
        slice(max(0, part.start - _REACH_VOX), min(length, part.stop + _REACH_VOX))
        for part, length in zip(window, suv.shape, strict=True)
    )
    inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(window, wide, strict=True))
    around = np.ascontiguousarray(suv[wide], np.float64)
    squares = np.zeros([part.stop - part.start for part in window])
    for axis, edge in enumerate(edges):
        order = [int(axis == other) for other in range(3)]
        squares += (ndimage.gaussian_filter(around, _SIGMA_VOX, order=order)[inner] / edge) ** 2
    return np.sqrt(squares)

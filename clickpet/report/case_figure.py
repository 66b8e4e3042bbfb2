"""Figure of a case: maximum intensity projections with truth, prediction, missed and false lesions, and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from clickpet.clicks.model import KINDS, Clicks
from clickpet.components import (
    LESION_CONNECTIVITY,
    component_overlap,
    encode_mask,
    iterate_voxels,
    label_components,
)
from clickpet.images import spacing_mm
from clickpet.report.lesion_slices import WINDOW_MAX_SUV
from clickpet.report.style import BLACK, BLUE, DARK_GREY, GREEN, VERMILION, figure_style, new_figure

#: Air around the body is cut off below this SUV, but for this margin.
BODY_MIN_SUV = 0.15
MARGIN_MM = 20.0
WIDTH_IN, MIN_HEIGHT_IN, MAX_HEIGHT_IN = 5.6, 2.8, 6.4
#: Room for title and legend.
FRAME_HEIGHT_IN = 0.9
CASE_DPI = 110
OPACITY = 0.6
_FOUND, _MISSED, _FALSE = GREEN, VERMILION, BLUE
#: Colours of the parts of an `Outcome`.
OUTCOME_COLOURS = {"matched": _FOUND, "missed": _MISSED, "false": _FALSE}
#: Marker, colour and name of each kind of click, in the order of drawing.
CLICK_MARKS = {"background": ("x", "#7a3e93", "background click"), "tumor": ("+", BLACK, "tumour click")}


@dataclass(frozen=True)
class Outcome:
    """Detection outcome of the lesions, as bool masks (x, y, z): `matched` are predicted voxels of components that
    touch the truth, `missed` true components that touch no predicted voxel, `false` predicted components that
    touch no true voxel (the components behind the official FNV and FPV, 18-connected)."""

    matched: np.ndarray
    missed: np.ndarray
    false: np.ndarray


def lesion_outcome(lesions: np.ndarray, truth: np.ndarray) -> Outcome:
    """Sort the components of `lesions` and `truth` (bool, one shape) into matched, missed and false ones."""
    false = _untouched(lesions, truth)
    return Outcome(matched=lesions & ~false, missed=_untouched(truth, lesions), false=false)


def _untouched(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The components of `mask` (bool) that share no voxel with `other`."""
    encoded = encode_mask(mask)
    component, count = label_components(encoded, LESION_CONNECTIVITY)
    alone = component_overlap(encoded, component, count, encode_mask(other, encoded.axes)) == 0
    untouched = np.zeros_like(mask)
    for _, _, index in iterate_voxels(encoded.select(alone[component])):
        untouched[index] = True
    return untouched


def draw_case(
    suv: np.ndarray,
    lesions: np.ndarray,
    affine: np.ndarray,
    *,
    tracer: str = "",
    truth: np.ndarray | None = None,
    clicks: Clicks | None = None,
) -> Figure:
    """Coronal and sagittal projection of a case, patient upright, right side on the viewer's left.

    suv : g/ml (x, y, z);  lesions, truth : bool, same shape, truth None where there is none;  affine : voxel to
    RAS+ mm;  tracer : decides the SUV window;  clicks : on the same grid.
    """
    to_ras = nib.orientations.io_orientation(affine)
    turned_affine = affine @ nib.orientations.inv_ornt_aff(to_ras, suv.shape)
    edges_mm = spacing_mm(turned_affine)
    outcome = None if truth is None else lesion_outcome(lesions, truth)

    def turned(array):
        return nib.orientations.apply_orientation(array, to_ras)

    volume = turned(suv)
    box = body_box(volume, edges_mm)
    layers = {"lesions": lesions} if outcome is None else {**vars(outcome), "truth": truth}
    layers = {name: turned(mask)[box] for name, mask in layers.items()}
    points = {
        kind: _turned_points(getattr(clicks, kind), affine, turned_affine) - [part.start for part in box]
        for kind in (KINDS if clicks else ())
    }
    return _draw(volume[box], layers, points, edges_mm, window_max_suv(tracer), has_truth=truth is not None)


def window_max_suv(tracer: str) -> float:
    """The SUV that is drawn black in pictures of a tracer's studies; without a tracer that of FDG."""
    return WINDOW_MAX_SUV.get(tracer, WINDOW_MAX_SUV["fdg"])


def body_box(volume: np.ndarray, edges_mm: Sequence[float]) -> tuple[slice, ...]:
    """Box around uptake, seen from two sides, plus a margin; the whole volume where there is none."""
    coronal, sagittal = volume.max(axis=1) > BODY_MIN_SUV, volume.max(axis=0) > BODY_MIN_SUV
    profiles = (coronal.any(axis=1), sagittal.any(axis=1), coronal.any(axis=0))
    box = []
    for profile, edge in zip(profiles, edges_mm, strict=True):
        used = np.flatnonzero(profile)
        margin = int(np.ceil(MARGIN_MM / edge))
        whole = used.size == 0
        box.append(slice(0 if whole else max(0, used[0] - margin), profile.size if whole else used[-1] + margin + 1))
    return tuple(
        slice(int(part.start), int(min(part.stop, size))) for part, size in zip(box, volume.shape, strict=True)
    )


def _turned_points(points, affine: np.ndarray, turned_affine: np.ndarray) -> np.ndarray:
    voxels = np.asarray(points, float).reshape(-1, 3)
    return nib.affines.apply_affine(np.linalg.inv(turned_affine) @ affine, voxels)


def _draw(volume, layers, points, edges_mm, max_suv, *, has_truth) -> Figure:
    lengths = [length * edge for length, edge in zip(volume.shape, edges_mm, strict=True)]
    with figure_style():
        height_in = WIDTH_IN * lengths[2] / (lengths[0] + lengths[1]) + FRAME_HEIGHT_IN
        figure = new_figure(min(max(height_in, MIN_HEIGHT_IN), MAX_HEIGHT_IN), WIDTH_IN)
        views = figure.subplots(1, 2, width_ratios=[lengths[0], lengths[1]])
        # RAS+ grows to the patient's right and to the front: both are flipped, so that right and nose are on the left.
        sides = ((1, 0, "coronal", "RL"), (0, 1, "sagittal", "AP"))
        for view, (along, across, name, ends) in zip(views, sides, strict=True):
            extent = (0, lengths[across], 0, lengths[2])
            projection = volume.max(axis=along).T[:, ::-1]
            grey = view.imshow(
                projection, cmap="gray_r", vmin=0, vmax=max_suv, origin="lower", extent=extent, aspect="equal"
            )
            for layer, colour in (("lesions", _FALSE), ("matched", _FOUND), ("false", _FALSE), ("missed", _MISSED)):
                if layer in layers:
                    _shade(view, layers[layer].any(axis=along).T[:, ::-1], colour, extent)
            if has_truth:
                _outline(view, layers["truth"].any(axis=along).T[:, ::-1], extent)
            for kind, (marker, colour, _) in CLICK_MARKS.items():
                if len(points.get(kind, ())):
                    spots = points[kind]
                    view.plot(
                        lengths[across] - (spots[:, across] + 0.5) * edges_mm[across],
                        (spots[:, 2] + 0.5) * edges_mm[2],
                        marker,
                        color=colour,
                        markersize=5,
                        markeredgewidth=1.1,
                        path_effects=[withStroke(linewidth=2.4, foreground="white")],
                    )
            view.set_xlim(0, lengths[across])
            view.set_ylim(0, lengths[2])
            view.set_axis_off()
            view.set_title(name, fontsize=7, fontweight="normal", color=DARK_GREY, loc="center")
            for place, (end, side) in zip((0.01, 0.99), zip(ends, ("left", "right"), strict=True), strict=True):
                view.text(place, 0.99, end, transform=view.transAxes, fontsize=8, fontweight="bold", ha=side, va="top")
            _scale_bar(view, lengths[across], lengths[2])
        bar = figure.colorbar(grey, ax=views, location="right", shrink=0.35, aspect=18, pad=0.01, ticks=[0, max_suv])
        bar.ax.set_title("SUV", fontsize=6.5, fontweight="normal", loc="center")
        bar.ax.tick_params(labelsize=6.5)
        figure.legend(handles=_legend(points, has_truth), loc="outside lower left", ncols=4, fontsize=6.5)
    return figure


def _shade(view, mask, colour, extent) -> None:
    if not mask.any():
        return
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    shade = np.zeros((*mask.shape, 4))
    shade[mask] = (red, green, blue, OPACITY)
    view.imshow(shade, origin="lower", extent=extent, interpolation="nearest", aspect="equal")


def _outline(view, mask, extent) -> None:
    if not mask.any():
        return
    padded = np.pad(mask.astype(float), 1)
    dx, dy = extent[1] / mask.shape[1], extent[3] / mask.shape[0]
    view.contour(
        (np.arange(padded.shape[1]) - 0.5) * dx,
        (np.arange(padded.shape[0]) - 0.5) * dy,
        padded,
        levels=[0.5],
        colors=[VERMILION],
        linewidths=0.8,
    )


def _scale_bar(view, width_mm: float, height_mm: float) -> None:
    length_mm = next((length for length in (100, 10) if length < 0.6 * width_mm), None)
    if length_mm is None:
        return
    start, height = 0.03 * width_mm, 0.02 * height_mm
    view.plot([start, start + length_mm], [height, height], color=BLACK, linewidth=1.6)
    view.text(start + length_mm / 2, 1.6 * height, f"{length_mm // 10} cm", fontsize=6, ha="center", va="bottom")


def _legend(points, has_truth: bool) -> list:
    handles = [Line2D([], [], color=VERMILION, linewidth=1.2, label="truth (outline)")] if has_truth else []
    if has_truth:
        handles += [
            Patch(color=_FOUND, alpha=OPACITY, label="predicted, touches truth"),
            Patch(color=_MISSED, alpha=OPACITY, label="missed lesion"),
            Patch(color=_FALSE, alpha=OPACITY, label="false lesion"),
        ]
    else:
        handles.append(Patch(color=_FALSE, alpha=OPACITY, label="predicted lesion (no truth given)"))
    for kind, (marker, colour, label) in reversed(CLICK_MARKS.items()):
        label = f"{label} (n = {len(points.get(kind, ()))})"
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=5, label=label))
    return handles

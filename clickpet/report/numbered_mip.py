"""Maximum intensity projections of a study with numbered lesions and clicks."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy import ndimage

from clickpet.outlines import trace_outlines
from clickpet.report.lesion_slices import SliceStudy
from clickpet.report.style import BLACK, DARK_GREY, VERMILION, figure_style, new_figure

#: Air around the body is cut off below this SUV, but for this margin.
BODY_MIN_SUV, MARGIN_MM = 0.15, 20.0
WIDTH_IN, MIN_HEIGHT_IN, MAX_HEIGHT_IN = 6.4, 3.2, 7.4
#: Lesions that are numbered at most, largest first; all have contours.
MOST_NUMBERS = 40
LESION_COLOUR = VERMILION
#: Marker, colour and name of each kind of click on light ground.
CLICK_MARKS = {"background": ("x", "#7a3e93", "background click"), "tumor": ("+", BLACK, "tumour click")}
#: Projections: axis (of left, posterior, superior) that is projected, the one that runs to the right, name, sides.
_VIEWS = ((1, 0, "coronal", ("R", "L")), (0, 1, "sagittal", ("A", "P")))


def draw_numbered_mip(study: SliceStudy, *, window_max_suv: float) -> Figure:
    """Coronal and sagittal projection of the PET, lesions outlined and numbered, clicks as + and x.

    window_max_suv : SUV that is drawn black. Right side of the patient on the viewer's left, nose on the left in the
    sagittal view. Contours are those of the projected lesions, along the edges of voxels.
    """
    box = _body_box(study)
    lengths = [(part.stop - part.start) * edge for part, edge in zip(box, study.spacing_mm, strict=True)]
    with figure_style():
        height_in = (WIDTH_IN - 0.4) * lengths[2] / (lengths[0] + lengths[1]) + 0.6
        figure = new_figure(min(max(height_in, MIN_HEIGHT_IN), MAX_HEIGHT_IN), WIDTH_IN)
        panels = figure.subplots(1, 2, width_ratios=[lengths[0], lengths[1]])
        for panel, (along, across, name, sides) in zip(panels, _VIEWS, strict=True):
            _draw_projection(panel, study, box, along, across, window_max_suv)
            panel.set_title(name, fontsize=7, fontweight="normal", color=DARK_GREY)
            _mark_sides(panel, sides, lengths[across], lengths[2])
        length_mm = next(length for length in (200, 100, 50, 20, 10) if length < 0.6 * lengths[0] or length == 10)
        bar = 0.04 * lengths[0], 0.015 * lengths[2]
        panels[0].plot([bar[0], bar[0] + length_mm], [bar[1]] * 2, color=BLACK, linewidth=1.6)
        panels[0].text(
            bar[0] + length_mm / 2, bar[1] + 0.012 * lengths[2], f"{length_mm} mm", ha="center", fontsize=6.5
        )
        figure.legend(handles=_legend(study), loc="outside lower left", ncols=3, fontsize=6.5)
    return figure


def _body_box(study: SliceStudy) -> tuple[slice, slice, slice]:
    """Box around uptake with a margin; the whole volume where there is none."""
    coronal, sagittal = study.suv.max(axis=1) > BODY_MIN_SUV, study.suv.max(axis=0) > BODY_MIN_SUV
    profiles = (coronal.any(axis=1), sagittal.any(axis=1), coronal.any(axis=0))
    box = []
    for profile, edge in zip(profiles, study.spacing_mm, strict=True):
        used, margin = np.flatnonzero(profile), int(np.ceil(MARGIN_MM / edge))
        first, last = (used[0] - margin, used[-1] + margin + 1) if used.size else (0, profile.size)
        box.append(slice(max(0, int(first)), min(profile.size, int(last))))
    return tuple(box)


def _draw_projection(panel, study: SliceStudy, box, along: int, across: int, window_max_suv: float) -> None:
    edges = np.array([study.spacing_mm[across], study.spacing_mm[2]])
    corner = np.array([box[across].start, box[2].start])
    size = np.array([box[across].stop, box[2].stop]) - corner
    extent = (0, size[0] * edges[0], 0, size[1] * edges[1])
    projection = study.suv[box].max(axis=along)
    panel.imshow(projection.T, cmap="gray_r", vmin=0, vmax=window_max_suv, origin="lower", extent=extent)
    shadow = (study.lesions[box] > 0).any(axis=along)
    loops = [loop for outline in trace_outlines(shadow) for loop in (outline.outer, *outline.holes)]
    closed = [(np.concatenate([loop, loop[:1]]) + 0.5) * edges for loop in loops]
    panel.add_collection(LineCollection(closed, colors=LESION_COLOUR, linewidths=0.8))
    stroke = [withStroke(linewidth=2.2, foreground="white")]
    for number, place in enumerate(_centres(study)[:MOST_NUMBERS], start=1):
        spot = (place[[across, 2]] - corner + 0.5) * edges
        panel.annotate(str(number), spot, xytext=(6, 4), textcoords="offset points", fontsize=6.5, fontweight="bold",
                       color=LESION_COLOUR, path_effects=stroke)  # fmt: skip
    for kind, (marker, colour, _) in CLICK_MARKS.items():
        places = study.clicks.get(kind, np.empty((0, 3)))
        x, y = ((places[:, [across, 2]] - corner + 0.5) * edges).T
        panel.plot(x, y, marker, color=colour, markersize=5, markeredgewidth=1.1, path_effects=stroke)
    panel.set(xlim=extent[:2], ylim=extent[2:])
    panel.set_axis_off()


def _centres(study: SliceStudy) -> np.ndarray:
    """Centroid of each lesion in voxels, from lesion 1 on: float (n, 3)."""
    centres = []
    for number, box in enumerate(study.boxes, start=1):
        inside = study.lesions[box] == number
        centres.append([part.start + place for part, place in zip(box, ndimage.center_of_mass(inside), strict=True)])
    return np.array(centres).reshape(-1, 3)


def _mark_sides(panel, sides: tuple[str, str], width_mm: float, height_mm: float) -> None:
    for side, place, align in zip(sides, (0.01, 0.99), ("left", "right"), strict=True):
        panel.text(place * width_mm, 0.985 * height_mm, side, ha=align, va="top", fontsize=7.5, fontweight="bold")


def _legend(study: SliceStudy) -> list[Line2D]:
    handles = [
        Line2D([], [], color=LESION_COLOUR, linewidth=1, label=f"lesion, with its number (n = {len(study.boxes)})")
    ]
    for kind, (marker, colour, name) in reversed(CLICK_MARKS.items()):
        label = f"{name} (n = {len(study.clicks.get(kind, ()))})"
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=5, label=label))
    return handles

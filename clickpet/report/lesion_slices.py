"""Pictures of single lesions: the axial slice through a lesion, PET over CT, with the contours of lesion and truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from nibabel.affines import apply_affine
from scipy import ndimage

from clickpet.clicks.model import KINDS, Clicks
from clickpet.geometry import Turn, spacing_mm
from clickpet.outlines import trace_outlines
from clickpet.report.style import figure_style, new_figure

#: Axes of what is drawn: to the patient's left, to the back, upwards. Right side on the viewer's left, nose up.
AXES = "LPS"
#: SUV at the upper end of the colours, by tracer; PSMA is taken up more strongly.
WINDOW_MAX_SUV = {"fdg": 10.0, "psma": 15.0}
#: Soft-tissue window of the CT, HU.
CT_WINDOW_HU = (-160.0, 240.0)
#: Opacity of the PET over the CT at the upper end of the window.
PET_OPACITY = 0.75
#: Edge of the enlarged part around the lesion, at least, and what stays free on both sides of a lesion in it.
ZOOM_MM, ZOOM_MARGIN_MM = 80.0, 20.0
WIDTH_IN, HEIGHT_IN, SLICE_DPI = 4.6, 2.5, 110
LESION_COLOUR, OTHER_COLOUR, TRUTH_COLOUR = "#00e5ff", "#b0f4ff", "#39d353"
#: Marker and colour of each kind of click on dark ground, in the order of drawing.
CLICK_MARKS = {"background": ("x", "#d2a8ff"), "tumor": ("+", "#ffffff")}
#: A click is drawn on slices that are at most so many slices away.
CLICK_REACH = 1.0


@dataclass(frozen=True, eq=False)
class SliceStudy:
    """Volumes of a study that lesions are drawn from, axes as AXES.

    suv : g/ml, ct : HU, both float (x, y, z);  lesions : uint16, numbers of the lesions (`number_lesions`);
    affine : voxel index to RAS+ mm;  truth : bool, or None;  clicks : {kind: float (n, 3) voxel places};  missed :
    those of the numbers that are true lesions nobody predicted, which have no contour but the truth's.
    """

    suv: np.ndarray
    ct: np.ndarray
    lesions: np.ndarray
    affine: np.ndarray
    truth: np.ndarray | None
    clicks: dict[str, np.ndarray]
    missed: frozenset[int] = frozenset()

    @classmethod
    def turned(
        cls,
        suv: np.ndarray,
        ct: np.ndarray,
        lesions: np.ndarray,
        affine: np.ndarray,
        *,
        truth: np.ndarray | None = None,
        clicks: Clicks | None = None,
        missed: frozenset[int] = frozenset(),
    ) -> SliceStudy:
        """A study of volumes (x, y, z) on one grid in any order of axes; clicks are voxels of that grid."""
        turn = Turn.between(affine, AXES)
        own = turn.affine(suv.shape, affine)
        to_own = np.linalg.inv(own) @ affine
        places = {
            kind: apply_affine(to_own, np.asarray(getattr(clicks, kind), float).reshape(-1, 3))
            for kind in (KINDS if clicks else ())
        }
        volumes = (turn.array(array) for array in (suv, ct, lesions))
        return cls(*volumes, own, None if truth is None else turn.array(truth), places, missed)

    @cached_property
    def boxes(self) -> list[tuple[slice, slice, slice] | None]:
        """Box of each lesion, from lesion 1 on."""
        return ndimage.find_objects(self.lesions)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return spacing_mm(self.affine)

    def largest_slice(self, lesion: int) -> int:
        """Index along z of the axial slice that holds most of a lesion (its first where several do)."""
        box = self.boxes[lesion - 1]
        return box[2].start + int((self.lesions[box] == lesion).sum(axis=(0, 1)).argmax())


def draw_lesion_slice(study: SliceStudy, lesion: int, *, window_max_suv: float, title: str = "") -> Figure:
    """The axial slice that holds most of a lesion: all of it with a frame, and the part in the frame enlarged.

    lesion : its number in `study.lesions`;  window_max_suv : SUV at the upper end of the colours;
    title : of the enlarged part; without one the lesion's number. The lesion's contour is LESION_COLOUR and bold, that
    of other lesions thin, the truth dashed; clicks on the slice
    or the next ones are + (tumour) and x (background). Contours run along the edges of voxels.
    """
    plane = study.largest_slice(lesion)
    frame = _frame(study, lesion)
    with figure_style():
        figure = new_figure(HEIGHT_IN, WIDTH_IN)
        whole, zoomed = figure.subplots(1, 2)
        for view in (whole, zoomed):
            _draw_plane(view, study, plane, window_max_suv)
            _draw_contours(view, study, plane, lesion)
            _draw_clicks(view, study, plane)
            view.set(xticks=[], yticks=[], facecolor="black")
            view.grid(visible=False)
            view.spines[:].set_visible(False)
        (left, right), (top, bottom) = frame
        whole.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec="white", lw=0.8))
        _limit(whole, _body_frame(study, plane))
        _limit(zoomed, frame)
        height_mm = float(apply_affine(study.affine, (0, 0, plane))[2])
        whole.set_title(f"axial, z = {round(height_mm)} mm", fontsize=6.5, fontweight="normal")
        zoomed.set_title(title or f"lesion {lesion}", fontsize=6.5)
    return figure


def _extent(study: SliceStudy) -> tuple[float, float, float, float]:
    """Edges of a slice in mm from its first voxel's corner: left, right, bottom, top."""
    dx, dy, _ = study.spacing_mm
    return 0.0, study.suv.shape[0] * dx, study.suv.shape[1] * dy, 0.0


def _draw_plane(view, study: SliceStudy, plane: int, window_max_suv: float) -> None:
    how = {"extent": _extent(study), "origin": "upper", "aspect": "equal"}
    low, high = CT_WINDOW_HU
    view.imshow(study.ct[:, :, plane].T, cmap="gray", vmin=low, vmax=high, **how)
    suv = study.suv[:, :, plane].T
    opacity = np.clip(suv / window_max_suv, 0, 1) ** 0.5 * PET_OPACITY
    view.imshow(suv, cmap="hot", vmin=0, vmax=window_max_suv, alpha=opacity, **how)


def _draw_contours(view, study: SliceStudy, plane: int, lesion: int) -> None:
    numbers = study.lesions[:, :, plane]
    if study.missed:
        numbers = np.where(np.isin(numbers, list(study.missed)), 0, numbers)
    layers = [
        ((numbers > 0) & (numbers != lesion), {"colors": OTHER_COLOUR, "linewidths": 0.6}),
        (numbers == lesion, {"colors": LESION_COLOUR, "linewidths": 1.3}),
    ]
    if study.truth is not None:
        layers.append((study.truth[:, :, plane] > 0, {"colors": TRUTH_COLOUR, "linewidths": 0.9, "linestyles": "--"}))
    for image, how in layers:
        if image.any():
            view.add_collection(LineCollection(_loops_mm(image, study.spacing_mm), **how))


def _loops_mm(image: np.ndarray, edges_mm: Sequence[float]) -> list[np.ndarray]:
    """Closed borders of a binary slice (x, y) in mm from the corner of its first voxel."""
    loops = [loop for outline in trace_outlines(image) for loop in (outline.outer, *outline.holes)]
    return [(np.concatenate([loop, loop[:1]]) + 0.5) * edges_mm[:2] for loop in loops]


def _draw_clicks(view, study: SliceStudy, plane: int) -> None:
    for kind, (marker, colour) in CLICK_MARKS.items():
        places = study.clicks.get(kind, np.empty((0, 3)))
        here = places[np.abs(places[:, 2] - plane) <= CLICK_REACH]
        if len(here):
            x, y = ((here[:, :2] + 0.5) * study.spacing_mm[:2]).T
            edge = [withStroke(linewidth=2.2, foreground="black")]
            view.plot(x, y, marker, color=colour, markersize=6, markeredgewidth=1.2, path_effects=edge)


def _frame(study: SliceStudy, lesion: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """A square around a lesion in mm: (left, right), (top, bottom)."""
    box = study.boxes[lesion - 1]
    low, high = (
        np.array([getattr(part, edge) for part in box[:2]]) * study.spacing_mm[:2] for edge in ("start", "stop")
    )
    half = max(ZOOM_MM / 2, float((high - low).max()) / 2 + ZOOM_MARGIN_MM)
    middle = (low + high) / 2
    return tuple((float(place - half), float(place + half)) for place in middle)


def _body_frame(study: SliceStudy, plane: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """The part of a slice that shows the body (CT above air), a square so that both panels are of one size."""
    body = study.ct[:, :, plane] > CT_WINDOW_HU[0] - 340
    box = (ndimage.find_objects(ndimage.binary_opening(body).astype(np.uint8)) or [None])[0]
    box = box or tuple(slice(0, length) for length in body.shape)
    low, high = (np.array([getattr(part, edge) for part in box]) * study.spacing_mm[:2] for edge in ("start", "stop"))
    middle, half = (low + high) / 2, float((high - low).max()) / 2 + 10
    return tuple((float(place - half), float(place + half)) for place in middle)


def _limit(view, frame) -> None:
    """Show a part of a slice, with the sides' letters and a bar of known length."""
    (left, right), (top, bottom) = frame
    view.set_xlim(left, right)
    view.set_ylim(bottom, top)
    width, height = right - left, bottom - top
    text = {"color": "white", "fontsize": 7, "fontweight": "bold", "va": "center"}
    text["path_effects"] = [withStroke(linewidth=1.6, foreground="black")]
    view.text(left + 0.02 * width, top + 0.5 * height, "R", ha="left", **text)
    view.text(right - 0.02 * width, top + 0.5 * height, "L", ha="right", **text)
    length_mm = next(length for length in (100, 50, 20, 10, 5) if length < 0.4 * width)
    start, place = left + 0.04 * width, bottom - 0.05 * height
    view.plot([start, start + length_mm], [place, place], color="white", linewidth=1.6)
    view.text(start + length_mm / 2, place - 0.05 * height, f"{length_mm} mm", ha="center", **text)

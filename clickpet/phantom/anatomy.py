"""Anatomy of a phantom patient: the shapes of body and organs, painted as a map of tissues.

Coordinates are millimetres of a standard body: x to its right, y forward, z up, the origin between the hips
(nibabel's RAS+). A patient is the standard body stretched along each axis.
"""

from __future__ import annotations

import numpy as np

from clickpet.phantom.seeds import generator
from clickpet.phantom.shapes import Ellipsoid, Tube, fill
from clickpet.phantom.tissues import TISSUE_IDS, TISSUES

#: Body outline: height z, half width, half depth (mm); between the heights linear.
_OUTLINE = np.array(
    [
        (-25, 150, 92),
        (60, 156, 98),
        (150, 144, 94),
        (220, 136, 95),
        (300, 142, 102),
        (400, 150, 107),
        (480, 150, 103),
        (525, 138, 88),
        (552, 100, 70),
        (572, 60, 60),
        (640, 54, 58),
    ],
    float,
)
_OUTLINE_POWER = 2.4
#: Course of the colon in the standard body, mm: caecum to rectum.
COLON = (
    (88, 15, 95),
    (96, 12, 205),
    (60, 52, 225),
    (-20, 62, 205),
    (-92, 22, 235),
    (-98, 0, 120),
    (-70, 20, 85),
    (-20, -8, 92),
    (0, -38, 60),
)


class Body:
    """Anatomy and uptake of one patient in one study.

    Anatomy depends on (seed, patient), position and bladder filling on (seed, case).  uptake : float32 (tissues,), SUV.
    """

    def __init__(self, seed: int, patient: str, case: str, tracer: str):
        self.seed, self.case, self.tracer = seed, case, tracer
        rng = generator(seed, patient, "anatomy")
        self.stretch = rng.uniform((0.93, 0.92, 0.93), (1.04, 1.08, 1.0))
        self.fat = rng.uniform(0.84, 0.93)
        self.shifts = {name: rng.normal(0, 3.5, 3) for name in TISSUES}
        self.sizes = {name: np.clip(rng.normal(1, 0.06), 0.85, 1.15) for name in TISSUES}
        self.bowel = _bowel_loops(rng)
        patient_factor = {name: np.exp(tissue.suv_sigma * rng.normal()) for name, tissue in TISSUES.items()}
        uptake = [getattr(tissue, f"{tracer}_suv") * patient_factor[name] for name, tissue in TISSUES.items()]
        self.uptake = np.array(uptake, np.float32)
        study = generator(seed, case, "study")
        self.place_mm = study.uniform(-4, 4, 3)
        self.bladder_filling = study.uniform(0.8, 1.25)
        self.uptake *= np.exp(0.08 * study.normal())

    def standard(self, axes):
        """`axes` (mm of the scanner) in the coordinates of the standard body."""
        return tuple((axis - off) / by for axis, off, by in zip(axes, self.place_mm, self.stretch, strict=True))

    def to_mm(self, point) -> np.ndarray:
        """A point of the standard body in millimetres of the scanner."""
        return np.asarray(point) * self.stretch + self.place_mm


def _bowel_loops(rng) -> tuple[tuple[float, float, float], ...]:
    """Course of the small bowel in the standard body, mm: fifteen turns."""
    turns = 15
    x = np.where(np.arange(turns) % 2, 1, -1) * rng.uniform(25, 70, turns)
    y = rng.uniform(5, 60, turns)
    z = np.linspace(205, 85, turns) + rng.normal(0, 6, turns)
    return tuple(zip(x, y, z, strict=True))


def ureter(side: int) -> tuple[tuple[float, float, float], ...]:
    """Course of the ureter of one side, renal pelvis to bladder."""
    return ((side * 50, -42, 210), (side * 34, -34, 160), (side * 42, -12, 95), (side * 22, 2, 48))


def paint_tissues(body: Body, axes) -> np.ndarray:
    """Tissue map of a patient: uint8 (x, y, z), numbers of `TISSUE_IDS`.  axes : mm of the voxel centres."""
    tissues = np.zeros([len(axis) for axis in axes], np.uint8)
    couch = (np.abs(axes[0]) < 125)[:, None, None] & ((axes[1] > -127) & (axes[1] < -119))[:, None]
    tissues[np.broadcast_to(couch, tissues.shape)] = TISSUE_IDS["couch"]
    axes = body.standard(axes)
    _paint_outline(tissues, body, axes)
    for tissue, shape in _organ_shapes(body):
        fill(tissues, axes, shape, TISSUE_IDS[tissue])
    return tissues


def _paint_outline(tissues, body: Body, axes) -> None:
    """Fat, muscle, ribs and limbs within the body's outline."""
    x, y, z = axes
    half_width, half_depth = (np.interp(z, _OUTLINE[:, 0], _OUTLINE[:, column]) for column in (1, 2))
    outside = np.abs(x[:, None] / half_width) ** _OUTLINE_POWER
    outside = outside[:, None] + (np.abs(y[:, None] / half_depth) ** _OUTLINE_POWER)[None]
    outside[..., (z < _OUTLINE[0, 0]) | (z > _OUTLINE[-1, 0])] = np.inf
    limbs = []
    for side in (-1, 1):
        limbs.append(
            (
                Tube(((side * 76, 0, 0), (side * 72, 5, -120)), 72),
                Tube(((side * 84, 0, 20), (side * 76, 5, -120)), 14),
            )
        )
        limbs.append(
            (
                Tube(((side * 118, -5, 520), (side * 124, -5, 640), (side * 108, 5, 900)), 36),
                Tube(((side * 115, -5, 520), (side * 124, -5, 640), (side * 108, 5, 900)), 11),
            )
        )
    for limb, _ in limbs:
        fill(tissues, axes, limb, TISSUE_IDS["fat"])
    tissues[outside <= 1] = TISSUE_IDS["fat"]
    for limb, _ in limbs:
        fill(tissues, axes, Tube(limb.points, limb.radius * body.fat), TISSUE_IDS["muscle"])
    tissues[outside <= body.fat**_OUTLINE_POWER] = TISSUE_IDS["muscle"]
    ring = (outside <= (body.fat - 0.03) ** _OUTLINE_POWER) & (outside > (body.fat - 0.11) ** _OUTLINE_POWER)
    slope = (z + 0.35 * y[:, None]) % 28
    tissues[ring & ((slope < 11) & (z > 330) & (z < 520))] = TISSUE_IDS["bone"]
    for _, bone in limbs:
        fill(tissues, axes, bone, TISSUE_IDS["bone"])


def _organ_shapes(body: Body):
    """Yield (tissue, shape) from the back to the front: later ones cover earlier ones."""

    def ellipsoid(tissue, centre, radii, size=1.0, of=None):
        """An organ's ellipsoid with this patient's shift and size."""
        of = of or tissue
        return tissue, Ellipsoid(tuple(centre + body.shifts[of]), tuple(np.multiply(radii, body.sizes[of] * size)))

    yield "fat", Ellipsoid((0, 22, 150), (105, 62, 100))
    yield "muscle", Ellipsoid((0, 8, 700), (74, 94, 104))
    yield "bone", Ellipsoid((0, 0, 726), (71, 88, 64))
    yield "airway", Ellipsoid((0, 62, 668), (13, 22, 30))
    yield "mucosa", Ellipsoid((0, 74, 662), (11, 9, 20))
    yield (
        "bone",
        Tube(((0, -48, 650), (0, -50, 570), (0, -68, 450), (0, -70, 330), (0, -58, 200), (0, -66, 95)), 17),
    )
    yield "bone", Tube(((0, -66, 95), (0, -80, 50)), 22)
    for side in (-1, 1):
        yield "bone", Tube(((side * 25, -70, 75), (side * 70, -45, 110), (side * 105, -5, 140)), 13)
        yield "bone", Tube(((side * 95, -15, 130), (side * 85, 0, 30), (side * 20, 50, 15)), 12)
        yield "bone", Ellipsoid((side * 86, 0, 22), (23, 23, 23))
        yield "bone", Tube(((side * 15, 40, 535), (side * 110, 0, 545)), 7)
        yield "bone", Tube(((side * 75, -78, 500), (side * 105, -60, 430)), 8)
        yield ellipsoid("lung", (side * 76, -4, 425), (56, 78, 108))
    yield "bone", Tube(((0, 80, 510), (0, 88, 400)), 10)
    yield "airway", Tube(((0, -5, 600), (0, -15, 470)), 8)
    yield ellipsoid("cortex", (0, 0, 728), (62, 78, 54))
    yield ellipsoid("white_matter", (0, 2, 726), (44, 58, 36), of="cortex")
    yield ellipsoid("cortex", (0, -42, 684), (44, 30, 22), of="cortex")
    for side in (-1, 1):
        yield ellipsoid("parotid_gland", (side * 53, -2, 640), (13, 19, 27))
        yield ellipsoid("submandibular_gland", (side * 27, 34, 606), (11, 14, 11))
        yield "lacrimal_gland", Ellipsoid((side * 34, 70, 708), (7, 7, 7))
    yield ellipsoid("spleen", (-92, -36, 312), (27, 38, 44))
    yield ellipsoid("stomach", (-55, 24, 288), (36, 34, 42))
    yield ellipsoid("liver", (62, 8, 298), (74, 72, 58))
    yield ellipsoid("liver", (-5, 34, 316), (58, 40, 32))
    yield "heart_blood", Ellipsoid(tuple((2, 32, 402) + body.shifts["heart_wall"]), (38, 34, 44))
    yield ellipsoid("heart_wall", (-34, 26, 392), (38, 36, 40))
    yield ellipsoid("heart_blood", (-29, 24, 398), (23, 21, 27), of="heart_wall")
    yield (
        "aorta",
        Tube(((6, 20, 425), (8, 8, 470), (-6, -12, 492), (-20, -38, 470), (-18, -44, 330), (-8, -32, 160)), 12),
    )
    for side in (-1, 1):
        yield "aorta", Tube(((-8, -32, 162), (side * 45, -10, 100), (side * 68, 40, 15)), 6)
    yield "small_bowel", Tube(body.bowel, 11 * body.sizes["small_bowel"])
    yield "colon", Tube(COLON, 15 * body.sizes["colon"])
    yield "pancreas", Tube(((34, 14, 248), (0, 8, 258), (-62, -14, 276)), 11 * body.sizes["pancreas"])
    yield (
        "duodenum",
        Tube(((34, 24, 262), (48, 8, 232), (14, -2, 212), (-24, 12, 226)), 12 * body.sizes["duodenum"]),
    )
    yield ellipsoid("gallbladder", (58, 48, 252), (13, 15, 20))
    for side in (-1, 1):
        yield ellipsoid("kidney", (side * 64, -46, 222 - 6 * side), (25, 24, 48))
        yield ellipsoid("renal_pelvis", (side * 54, -44, 222 - 6 * side), (9, 10, 16), of="kidney")
        yield "ureter", Tube(ureter(side), 3)
    yield ellipsoid("prostate", (0, 8, 8), (22, 18, 17))
    yield ellipsoid("bladder", (0, 20, 52), (36, 30, 27), size=body.bladder_filling)

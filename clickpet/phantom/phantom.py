"""A small PET/CT cohort made by code, for the demo and the tests.

Every study is a body of adult size on a coarse grid (about 6 x 6 x 9 mm): organs with their HU, the
physiological uptake of FDG or PSMA, lesions from tiny and faint to large and hot, and benign foci
(bowel, ureters, reactive nodes, ganglia) that look like lesions, so that a network without clicks
takes them for lesions. Anatomy depends on (seed, patient) only, everything else on (seed, case), so
adding a study changes no other.

Coordinates of the anatomy are millimetres of a standard body: x to its right, y forward, z up, the
origin between the hips (nibabel's RAS+). A patient is the standard body stretched along each axis.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from clickpet.files import write_json
from clickpet.images import write_image
from clickpet.organs.labels import ORGANS

#: tissue: (HU, organ or None, SUV of FDG, SUV of PSMA, spread of the SUV between patients (sigma of its logarithm))
TISSUES = {
    "air": (-1000, None, 0.0, 0.0, 0.0),
    "couch": (-350, None, 0.0, 0.0, 0.0),
    "fat": (-95, None, 0.25, 0.2, 0.1),
    "muscle": (45, None, 0.6, 0.45, 0.1),
    "lung": (-820, "lungs", 0.4, 0.35, 0.1),
    "airway": (-950, None, 0.1, 0.1, 0.0),
    "bone": (420, "skeleton", 1.1, 0.6, 0.15),
    "cortex": (38, "brain", 10.0, 0.25, 0.2),
    "white_matter": (30, "brain", 5.0, 0.2, 0.2),
    "heart_blood": (45, "heart", 1.7, 1.5, 0.12),
    "heart_wall": (50, "heart", 5.0, 1.6, 0.6),
    "aorta": (45, "aorta", 1.7, 1.5, 0.12),
    "liver": (58, "liver", 2.3, 6.0, 0.18),
    "gallbladder": (12, "digestive_system", 0.9, 7.0, 0.7),
    "spleen": (50, "spleen", 1.9, 7.0, 0.25),
    "pancreas": (38, "pancreas", 1.4, 2.0, 0.15),
    "stomach": (30, "digestive_system", 1.9, 2.2, 0.25),
    "duodenum": (35, "digestive_system", 1.8, 9.0, 0.25),
    "small_bowel": (30, "digestive_system", 1.5, 3.0, 0.3),
    "colon": (10, "digestive_system", 1.6, 1.3, 0.35),
    "kidney": (33, "kidneys", 3.0, 32.0, 0.2),
    "renal_pelvis": (10, "kidneys", 8.0, 24.0, 0.4),
    "ureter": (15, None, 2.5, 4.0, 0.3),
    "bladder": (5, "bladder", 16.0, 18.0, 0.5),
    "prostate": (42, "prostate", 1.6, 2.4, 0.15),
    "parotid_gland": (30, "parotid_glands", 1.9, 14.0, 0.2),
    "submandibular_gland": (30, "submandibular_glands", 2.0, 15.0, 0.2),
    "lacrimal_gland": (30, None, 1.0, 7.0, 0.25),
    "mucosa": (40, None, 1.5, 3.0, 0.25),
}
_TISSUE_IDS = {name: number for number, name in enumerate(TISSUES)}
#: Lesions and benign foci stay out of these.
_HOT = (
    "cortex",
    "white_matter",
    "heart_wall",
    "kidney",
    "renal_pelvis",
    "bladder",
    "parotid_gland",
    "submandibular_gland",
    "duodenum",
)

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

#: Where lesions of a tracer sit: site, centre, spread (mm, uniform to both sides), both sides of the body?
_SITES = {
    "fdg": (
        ("neck node", (38, 5, 585), (8, 12, 12), True),
        ("supraclavicular node", (55, 15, 540), (15, 10, 8), True),
        ("axillary node", (112, -5, 495), (10, 15, 15), True),
        ("mediastinal node", (0, -10, 455), (25, 15, 30), False),
        ("lung", (80, -5, 430), (25, 45, 60), True),
        ("liver", (60, 10, 300), (45, 40, 30), False),
        ("para-aortic node", (5, -25, 215), (25, 10, 55), False),
        ("mesenteric node", (0, 30, 140), (60, 20, 50), False),
        ("vertebra", (0, -62, 310), (5, 5, 220), False),
        ("iliac bone", (85, -25, 105), (15, 25, 30), True),
        ("beside the bladder", (52, 15, 50), (8, 15, 20), True),
        ("inguinal node", (72, 50, 15), (12, 10, 15), True),
    ),
    "psma": (
        ("prostate bed", (0, 0, 8), (15, 10, 8), False),
        ("beside the bladder", (52, 10, 50), (8, 20, 20), True),
        ("iliac node", (58, 0, 95), (15, 20, 25), True),
        ("iliac bone", (85, -25, 105), (15, 25, 30), True),
        ("para-aortic node", (5, -25, 200), (25, 10, 60), False),
        ("vertebra", (0, -62, 300), (5, 5, 220), False),
        ("rib", (118, -20, 400), (10, 50, 60), True),
        ("femur", (85, 0, -5), (8, 8, 25), True),
        ("supraclavicular node", (-50, 15, 540), (12, 10, 8), False),
        ("mediastinal node", (0, -15, 450), (20, 15, 30), False),
        ("inguinal node", (72, 50, 15), (12, 10, 15), True),
    ),
}

#: Uptake of a lesion kind (SUV, lowest and highest) and its radius (mm).
_LESION_KINDS = {
    "large": ((5.0, 12.0), (17.0, 24.0)),
    "middle": ((3.5, 14.0), (11.0, 16.0)),
    "faint": ((2.4, 3.2), (10.0, 14.0)),
    "tiny": ((6.0, 16.0), (6.0, 7.5)),
}
#: Free space between two lesions, so that each stays a component of its own (mm).
_LESION_GAP_MM = 16.0
#: Finer grid on which PET and CT are drawn before the voxels average over it.
_OVERSAMPLING = 2

#: name: voxels and spacing (mm) of the PET.
GRIDS = {
    "fdg": ((56, 44, 96), (6.0, 6.0, 9.0)),
    "psma": ((52, 40, 104), (6.5, 6.5, 8.25)),
    "psma_other": ((48, 38, 116), (7.0, 7.0, 7.4)),
}
#: Height (mm) of the lowest slice's lower face.
_FLOOR_MM = -62.0
#: centre: point spread (FWHM, mm) and variance of the noise over SUV.
SCANNERS = {"UKT": (6.5, 0.014), "LMU": (8.0, 0.022)}
_CT_OWN_SPACING_MM = (3.1, 3.1, 4.0)
_CT_NOISE_HU = 14.0


@dataclass(frozen=True)
class Study:
    """One row of the phantom cohort: what its table says and what the table cannot say."""

    case: str
    tracer: str
    patient: str
    centre: str
    split: str = "train"
    healthy: bool = False
    ct_own_grid: bool = False
    clicks_given: bool = False
    grid: str = ""
    files: dict[str, str] = field(init=False, compare=False)

    def __post_init__(self):
        root = "results/phantom"
        files = {
            "ct": f"{root}/imagesTr/{self.case}_0000.nii.gz",
            "pet": f"{root}/imagesTr/{self.case}_0001.nii.gz",
            "label": f"{root}/labelsTr/{self.case}.nii.gz",
            "clicks": f"{root}/clicksTr/{self.case}_clicks.json",
            "organs": f"{root}/organsTr/{self.case}.nii.gz",
        }
        if self.ct_own_grid:
            files["ct"] = f"{root}/pairs/{self.case}/CT.nii.gz"
            files["pet"] = f"{root}/pairs/{self.case}/PET.nii.gz"
        if not self.clicks_given:
            files["clicks"] = ""
        if self.split == "predict":
            files["label"] = files["organs"] = ""
        object.__setattr__(self, "files", files)


def _fdg(patient: str, date: str, rest: str, centre: str, **options) -> Study:
    return Study(f"fdg_{patient}_{date}-NA-PET-CT {rest}", "fdg", patient, centre, **options)


def _psma(patient: str, date: str, centre: str, **options) -> Study:
    return Study(f"psma_{patient}_{date}", "psma", patient, centre, **options)


#: The cohort; config/phantom_cases.tsv holds `table_text()` of it and a test keeps the two equal.
#: Names are in the style of the autoPET release: spaces, double spaces, a dot.
COHORT = (
    _fdg("0c1e5a70d2", "02-11-2003", "Ganzkoerper  primaer mit KM-20417", "UKT", clicks_given=True),
    _fdg("0c1e5a70d2", "09-02-2003", "Ganzkoerper  primaer mit KM-31866", "UKT"),
    _fdg("2f97b3c81e", "06-24-2005", "Ganzkoerper nativ u. mit KM-74102", "UKT", ct_own_grid=True),
    _fdg("51d80e6fa4", "11-08-2001", "Ganzkoerper  primaer mit KM-09355", "UKT", healthy=True),
    _fdg("83ab24d79f", "04-15-2006", "Ganzkoerper  primaer mit KM-58230", "LMU", clicks_given=True),
    _fdg("b64f19c035", "08-30-2004", "Teilkoerper  primaer mit KM-66741", "LMU"),
    _fdg("e7025d8bc1", "01-19-2007", "Ganzkoerper  primaer mit KM-12983", "LMU", ct_own_grid=True),
    _psma("1b7e94d02fa6c385", "2016-03-09", "LMU", clicks_given=True),
    _psma("1b7e94d02fa6c385", "2017-01-25", "LMU"),
    _psma("3d05f8a6e1c94b72", "2018-07-14", "LMU", ct_own_grid=True),
    _psma("5ea2c07b93d1648f", "2015-10-02", "LMU", healthy=True, clicks_given=True),
    _psma("7c4819fe20b5d3a6", "2020-02-27", "UKT"),
    _psma("a9f36d5812e0c7b4", "2019-05-18", "UKT", clicks_given=True, grid="psma_other"),
    _psma("d21b0c9ef7438a65", "2021-11-30", "UKT", ct_own_grid=True),
    _fdg("f4a86073e9", "12-05-2004", "Ganzkoerper  primaer mit KM-40528", "UKT", split="test"),
    _psma("f80d6b29a517ce43", "2021-09-21", "LMU", split="test", clicks_given=True),
    Study("unknown_96c3e1d04b_2022-04-06", "psma", "96c3e1d04b", "UKT", split="predict", clicks_given=True),
)

TABLE_COLUMNS = ("case", "tracer", "patient", "centre", "split", "ct", "pet", "label", "clicks", "organs")


def table_text(studies: tuple[Study, ...] = COHORT) -> str:
    """The cohort table (TSV) of `studies`; config/phantom_cases.tsv is this text."""
    lines = ["\t".join(TABLE_COLUMNS)]
    for study in studies:
        row = {
            "case": study.case,
            "tracer": "" if study.split == "predict" else study.tracer,
            "patient": study.patient,
            "centre": study.centre,
            "split": study.split,
            **study.files,
        }
        lines.append("\t".join(row[column] for column in TABLE_COLUMNS))
    return "\n".join(lines) + "\n"


def write_cohort(*, seed: int, studies: tuple[Study, ...] = COHORT, root: str | Path = ".") -> None:
    """Make `studies` and write their files below `root`, where the cohort table says they are."""
    for study in studies:
        made = make_study(
            study.case,
            tracer=study.tracer,
            patient=study.patient,
            seed=seed,
            centre=study.centre,
            healthy=study.healthy,
            ct_own_grid=study.ct_own_grid,
            grid=study.grid or study.tracer,
        )
        for kind in ("ct", "pet", "label", "organs"):
            if study.files[kind]:
                write_image(Path(root, study.files[kind]), made[kind], made["ct_affine" if kind == "ct" else "affine"])
        if study.clicks_given:
            write_json(Path(root, study.files["clicks"]), made["clicks"])
        print(f"{study.case}: {len(made['lesions'])} lesions, {int(made['label'].sum())} voxels", flush=True)


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
    "lesions" and "foci" (lists of dicts with site, kind, centre_mm, radii_mm, suv); "clicks" (Grand Challenge JSON: 10
    tumour, unless healthy, and 10 background clicks).
    """
    shape, spacing = GRIDS[grid]
    affine = _affine(shape, spacing, "LA")
    fine_shape = tuple(_OVERSAMPLING * length for length in shape)
    fine = _axes(fine_shape, _finer(affine))
    body = _Body(seed, patient, case, tracer)

    tissues = body.paint(fine)
    foci = body.place_foci(tissues, fine)
    lesions = [] if healthy else body.place_lesions(tissues, fine, foci)

    activity = body.uptake[tissues]
    for focus in foci:
        _fill(activity, fine, Ellipsoid(focus["centre_mm"], focus["radii_mm"]), focus["suv"])
    lesion_share = np.zeros(fine_shape, np.float32)
    for lesion in lesions:
        for lobe in lesion["lobes"]:
            _fill(activity, fine, lobe, lesion["suv"])
            _fill(lesion_share, fine, lobe, 1)
    label = (_coarser(lesion_share) >= 0.5).astype(np.uint8)
    pet = _scan(activity, spacing, SCANNERS[centre], _rng(seed, case, "noise"))

    if ct_own_grid:
        extent_mm = [length * edge for length, edge in zip(shape, spacing, strict=True)]
        ct_shape = tuple(round(extent / edge) for extent, edge in zip(extent_mm, _CT_OWN_SPACING_MM, strict=True))
        ct_affine = _affine(ct_shape, _CT_OWN_SPACING_MM, "RP")
        ct_axes = _axes(ct_shape, ct_affine)
        density = _density(body.paint(ct_axes), ct_axes, lesions)
    else:
        ct_affine = affine
        density = _coarser(_density(tissues, fine, lesions))
    noise = _rng(seed, case, "ct").normal(0, _CT_NOISE_HU, density.shape)
    organ_lut = np.array([ORGANS.get(organ, 0) for _, organ, *_ in TISSUES.values()], np.uint8)
    return {
        "pet": pet,
        "label": label,
        "organs": organ_lut[body.paint(_axes(shape, affine))],
        "affine": affine,
        "ct": np.clip(np.rint(density + noise), -1024, 3071).astype(np.int16),
        "ct_affine": ct_affine,
        "lesions": lesions,
        "foci": foci,
        "clicks": _clicks(pet, label, spacing, _rng(seed, case, "clicks")),
    }


@dataclass(frozen=True)
class Ellipsoid:
    """Points within an ellipsoid of `radii` (mm) along the axes around `centre` (mm)."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]

    def parts(self, axes):
        """Yield (slices, bool array) that cover the shape on the grid of the three `axes` (mm)."""
        slices = _box(axes, np.subtract(self.centre, self.radii), np.add(self.centre, self.radii))
        x, y, z = (
            ((axis[part] - middle) / radius) ** 2
            for axis, part, middle, radius in zip(axes, slices, self.centre, self.radii, strict=True)
        )
        yield slices, x[:, None, None] + y[:, None] + z <= 1


@dataclass(frozen=True)
class Tube:
    """Points closer than `radius` (mm) to the line through `points` (mm)."""

    points: tuple[tuple[float, float, float], ...]
    radius: float

    def parts(self, axes):
        """Yield (slices, bool array) for each piece of the line."""
        points = np.asarray(self.points, float)
        for start, end in itertools.pairwise(points):
            slices = _box(axes, np.minimum(start, end) - self.radius, np.maximum(start, end) + self.radius)
            x, y, z = (axis[part] for axis, part in zip(axes, slices, strict=True))
            x, y, z = x[:, None, None] - start[0], y[:, None] - start[1], z - start[2]
            along = end - start
            share = np.clip((x * along[0] + y * along[1] + z * along[2]) / max(along @ along, 1e-9), 0, 1)
            squared = (x - share * along[0]) ** 2 + (y - share * along[1]) ** 2 + (z - share * along[2]) ** 2
            yield slices, squared <= self.radius**2


class _Body:
    """Anatomy and uptake of one patient in one study."""

    def __init__(self, seed: int, patient: str, case: str, tracer: str):
        self.seed, self.case, self.tracer = seed, case, tracer
        rng = _rng(seed, patient, "anatomy")
        self.stretch = rng.uniform((0.93, 0.92, 0.93), (1.04, 1.08, 1.0))
        self.fat = rng.uniform(0.84, 0.93)
        self.shifts = {name: rng.normal(0, 3.5, 3) for name in TISSUES}
        self.sizes = {name: np.clip(rng.normal(1, 0.06), 0.85, 1.15) for name in TISSUES}
        self.bowel = self._bowel_loops(rng)
        column = 2 if tracer == "fdg" else 3
        patient_factor = {name: np.exp(row[4] * rng.normal()) for name, row in TISSUES.items()}
        self.uptake = np.array([row[column] * patient_factor[name] for name, row in TISSUES.items()], np.float32)
        study = _rng(seed, case, "study")
        self.place_mm = study.uniform(-4, 4, 3)
        self.bladder_filling = study.uniform(0.8, 1.25)
        self.uptake *= np.exp(0.08 * study.normal())

    @staticmethod
    def _bowel_loops(rng) -> tuple[tuple[float, float, float], ...]:
        turns = 15
        x = np.where(np.arange(turns) % 2, 1, -1) * rng.uniform(25, 70, turns)
        y = rng.uniform(5, 60, turns)
        z = np.linspace(205, 85, turns) + rng.normal(0, 6, turns)
        return tuple(zip(x, y, z, strict=True))

    def standard(self, axes):
        """Axes in the coordinates of the standard body."""
        return tuple((axis - off) / by for axis, off, by in zip(axes, self.place_mm, self.stretch, strict=True))

    def to_mm(self, point) -> np.ndarray:
        """A point of the standard body in millimetres of the scanner."""
        return np.asarray(point) * self.stretch + self.place_mm

    def paint(self, axes) -> np.ndarray:
        """Tissue number of each voxel, uint8."""
        tissues = np.zeros([len(axis) for axis in axes], np.uint8)
        couch = (np.abs(axes[0]) < 125)[:, None, None] & ((axes[1] > -127) & (axes[1] < -119))[:, None]
        tissues[np.broadcast_to(couch, tissues.shape)] = _TISSUE_IDS["couch"]
        axes = self.standard(axes)
        self._paint_outline(tissues, axes)
        for tissue, shape in self._organs():
            _fill(tissues, axes, shape, _TISSUE_IDS[tissue])
        return tissues

    def _paint_outline(self, tissues, axes):
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
            _fill(tissues, axes, limb, _TISSUE_IDS["fat"])
        tissues[outside <= 1] = _TISSUE_IDS["fat"]
        for limb, _ in limbs:
            _fill(tissues, axes, Tube(limb.points, limb.radius * self.fat), _TISSUE_IDS["muscle"])
        tissues[outside <= self.fat**_OUTLINE_POWER] = _TISSUE_IDS["muscle"]
        ring = (outside <= (self.fat - 0.03) ** _OUTLINE_POWER) & (outside > (self.fat - 0.11) ** _OUTLINE_POWER)
        slope = (z + 0.35 * y[:, None]) % 28
        tissues[ring & ((slope < 11) & (z > 330) & (z < 520))] = _TISSUE_IDS["bone"]
        for _, bone in limbs:
            _fill(tissues, axes, bone, _TISSUE_IDS["bone"])

    def _organs(self):
        """Yield (tissue, shape) from the back to the front: later ones cover earlier ones."""

        def ellipsoid(tissue, centre, radii, size=1.0, of=None):
            """An organ's ellipsoid with this patient's shift and size."""
            of = of or tissue
            return tissue, Ellipsoid(tuple(centre + self.shifts[of]), tuple(np.multiply(radii, self.sizes[of] * size)))

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
        yield "heart_blood", Ellipsoid(tuple((2, 32, 402) + self.shifts["heart_wall"]), (38, 34, 44))
        yield ellipsoid("heart_wall", (-34, 26, 392), (38, 36, 40))
        yield ellipsoid("heart_blood", (-29, 24, 398), (23, 21, 27), of="heart_wall")
        yield (
            "aorta",
            Tube(((6, 20, 425), (8, 8, 470), (-6, -12, 492), (-20, -38, 470), (-18, -44, 330), (-8, -32, 160)), 12),
        )
        for side in (-1, 1):
            yield "aorta", Tube(((-8, -32, 162), (side * 45, -10, 100), (side * 68, 40, 15)), 6)
        yield "small_bowel", Tube(self.bowel, 11 * self.sizes["small_bowel"])
        yield "colon", Tube(self.colon, 15 * self.sizes["colon"])
        yield "pancreas", Tube(((34, 14, 248), (0, 8, 258), (-62, -14, 276)), 11 * self.sizes["pancreas"])
        yield (
            "duodenum",
            Tube(((34, 24, 262), (48, 8, 232), (14, -2, 212), (-24, 12, 226)), 12 * self.sizes["duodenum"]),
        )
        yield ellipsoid("gallbladder", (58, 48, 252), (13, 15, 20))
        for side in (-1, 1):
            yield ellipsoid("kidney", (side * 64, -46, 222 - 6 * side), (25, 24, 48))
            yield ellipsoid("renal_pelvis", (side * 54, -44, 222 - 6 * side), (9, 10, 16), of="kidney")
            yield "ureter", Tube(self.ureter(side), 3)
        yield ellipsoid("prostate", (0, 8, 8), (22, 18, 17))
        yield ellipsoid("bladder", (0, 20, 52), (36, 30, 27), size=self.bladder_filling)

    colon = (
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

    @staticmethod
    def ureter(side: int) -> tuple[tuple[float, float, float], ...]:
        """Course of the ureter of one side, renal pelvis to bladder."""
        return ((side * 50, -42, 210), (side * 34, -34, 160), (side * 42, -12, 95), (side * 22, 2, 48))

    def place_foci(self, tissues, axes) -> list[dict]:
        """Benign foci of this study: bowel and ureter activity and, at places of lesions, unspecific uptake."""
        rng = _rng(self.seed, self.case, "foci")
        foci = []
        lines = [("bowel", self.bowel if rng.random() < 0.5 else self.colon) for _ in range(rng.integers(3, 6))]
        lines += [("ureter", self.ureter(rng.choice((-1, 1)))) for _ in range(rng.integers(1, 4))]
        for kind, line in lines:
            piece = rng.integers(len(line) - 1)
            point = np.array(line[piece]) + rng.random() * np.subtract(line[piece + 1], line[piece])
            radii = rng.uniform(8, 14, 3) if kind == "bowel" else (5.5, 5.5, rng.uniform(9, 18))
            suv = rng.uniform(3.0, 9.0) if kind == "bowel" else rng.uniform(5.0, 16.0)
            foci.append(_spot(kind, kind, self.to_mm(point), radii, suv))
        for _ in range(rng.integers(1, 4)):
            spot = self._find_place(rng, tissues, axes, foci, "unspecific", (3.0, 9.0), (8.0, 13.0))
            if spot is not None:
                foci.append(spot)
        return foci

    def place_lesions(self, tissues, axes, foci) -> list[dict]:
        """Lesions of this study: one large, faint and tiny, 1 to 5 more; apart from each other and from foci."""
        rng = _rng(self.seed, self.case, "lesions")
        kinds = ["large", "faint", "tiny", *["middle"] * rng.integers(1, 4), *["tiny"] * rng.integers(0, 3)]
        lesions = []
        for kind in kinds:
            suv, radius = _LESION_KINDS[kind]
            lesion = self._find_place(rng, tissues, axes, [*foci, *lesions], kind, suv, radius)
            if lesion is None:
                continue
            lesion["lobes"] = [Ellipsoid(lesion["centre_mm"], lesion["radii_mm"])]
            if kind == "large":
                turn = rng.normal(size=3)
                centre = np.array(lesion["centre_mm"]) + 0.6 * np.array(lesion["radii_mm"]) * turn / np.linalg.norm(
                    turn
                )
                lesion["lobes"].append(Ellipsoid(tuple(centre), tuple(np.multiply(lesion["radii_mm"], 0.75))))
            lesions.append(lesion)
        return lesions

    def _find_place(self, rng, tissues, axes, taken, kind, suv, radius) -> dict | None:
        """A spot at one of the tracer's sites, inside the body, out of hot organs and apart from `taken`."""
        forbidden = np.isin(np.arange(len(TISSUES)), [_TISSUE_IDS[name] for name in ("air", "couch", "airway", *_HOT)])
        for _ in range(200):
            site, centre, spread, paired = _SITES[self.tracer][rng.integers(len(_SITES[self.tracer]))]
            centre = np.array(centre) + rng.uniform(-1, 1, 3) * spread
            if paired and rng.random() < 0.5:
                centre[0] = -centre[0]
            size = rng.uniform(*radius)
            spot = _spot(site, kind, self.to_mm(centre), size * rng.uniform(0.85, 1.2, 3), rng.uniform(*suv))
            apart = all(
                np.linalg.norm(np.subtract(spot["centre_mm"], other["centre_mm"]))
                > max(spot["radii_mm"]) + 1.4 * max(other["radii_mm"]) + _LESION_GAP_MM
                for other in taken
            )
            if not apart:
                continue
            reach = Ellipsoid(spot["centre_mm"], tuple(np.multiply(spot["radii_mm"], 1.4 if kind == "large" else 1.1)))
            covered = np.concatenate([tissues[part][inside] for part, inside in reach.parts(axes)])
            if covered.size and not forbidden[covered].any() and self._stands_out(covered, spot):
                return spot
        return None

    def _stands_out(self, covered, spot) -> bool:
        """True if the spot's uptake is well above that of the tissue it lies in."""
        return spot["suv"] > 1.5 * float(self.uptake[covered].mean()) + 0.8


def _spot(site, kind, centre_mm, radii_mm, suv) -> dict:
    return {
        "site": site,
        "kind": kind,
        "centre_mm": tuple(float(value) for value in centre_mm),
        "radii_mm": tuple(float(value) for value in radii_mm),
        "suv": float(suv),
    }


def _rng(seed: int, *words: str) -> np.random.Generator:
    """A generator of its own for every purpose, so that one more draw here changes nothing there."""
    digest = hashlib.sha256("\n".join([str(seed), *words]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _affine(shape, spacing, directions: str) -> np.ndarray:
    """Affine of a grid that is centred in x and y and starts at the floor in z; `directions` of x and y, e.g. "LA"."""
    signs = np.array([1 if directions[0] == "R" else -1, 1 if directions[1] == "A" else -1, 1])
    affine = np.diag([*(signs * spacing), 1.0])
    affine[:2, 3] = -signs[:2] * spacing[:2] * (np.array(shape[:2]) - 1) / 2
    affine[2, 3] = _FLOOR_MM + spacing[2] / 2
    return affine


def _finer(affine) -> np.ndarray:
    """The affine of the grid that divides every voxel into _OVERSAMPLING parts per axis."""
    finer = affine.copy()
    finer[:3, :3] /= _OVERSAMPLING
    finer[:3, 3] = affine[:3, 3] - (affine[:3, :3] - finer[:3, :3]).sum(axis=1) / 2
    return finer


def _axes(shape, affine) -> tuple[np.ndarray, ...]:
    """Millimetres of the voxel centres along each axis (the affine has no rotation)."""
    return tuple(
        (affine[axis, axis] * np.arange(length) + affine[axis, 3]).astype(np.float32)
        for axis, length in enumerate(shape)
    )


def _box(axes, low, high) -> tuple[slice, ...]:
    """Index ranges of the points with low <= coordinate <= high; axes may run downwards."""
    slices = []
    for axis, lowest, highest in zip(axes, low, high, strict=True):
        inside = np.flatnonzero((axis >= lowest) & (axis <= highest))
        slices.append(slice(inside[0], inside[-1] + 1) if inside.size else slice(0, 0))
    return tuple(slices)


def _fill(volume, axes, shape, value) -> None:
    for part, inside in shape.parts(axes):
        volume[part][inside] = value


def _coarser(volume) -> np.ndarray:
    """Mean over each voxel's parts, float32."""
    x, y, z = (length // _OVERSAMPLING for length in volume.shape)
    parts = volume.reshape(x, _OVERSAMPLING, y, _OVERSAMPLING, z, _OVERSAMPLING)
    return parts.mean(axis=(1, 3, 5), dtype=np.float32)


def _scan(activity, spacing, scanner, rng) -> np.ndarray:
    """PET of an activity on the fine grid: point spread, voxel average, noise whose variance goes with the SUV."""
    fwhm_mm, noise = scanner
    sigma_vox = [fwhm_mm / 2.355 / (edge / _OVERSAMPLING) for edge in spacing]
    clean = _coarser(ndimage.gaussian_filter(activity, sigma_vox, mode="constant"))
    grain = ndimage.gaussian_filter(rng.standard_normal(clean.shape), 0.55)
    grain /= grain.std()
    return np.maximum(clean + np.sqrt(noise * clean) * grain, 0).astype(np.float32)


def _density(tissues, axes, lesions) -> np.ndarray:
    """HU of each voxel, float32; lesions are soft tissue, in bone they are dense."""
    density = np.array([row[0] for row in TISSUES.values()], np.float32)[tissues]
    for lesion in lesions:
        for lobe in lesion["lobes"]:
            for part, inside in lobe.parts(axes):
                values = density[part]
                values[inside] = np.where(values[inside] > 200, values[inside] + 150, 45)
    return density


def _clicks(pet, label, spacing, rng) -> dict:
    """Clicks as a reader would set them: the middle of each lesion, then more at random; the hottest benign places."""
    components, number = ndimage.label(label, np.ones((3, 3, 3)))
    tumour = []
    for component in range(1, number + 1):
        depth = ndimage.distance_transform_edt(np.pad(components == component, 1))[1:-1, 1:-1, 1:-1]
        tumour.append(np.unravel_index(np.argmax(depth), label.shape))
    tumour = [tumour[index] for index in rng.permutation(number)][:10]
    voxels = np.argwhere(label)
    while number and len(tumour) < 10:
        tumour.append(voxels[rng.integers(len(voxels))])
    benign = np.where(ndimage.binary_dilation(label, np.ones((3, 3, 3))), 0, pet)
    background = []
    for _ in range(10):
        place = np.unravel_index(np.argmax(benign), benign.shape)
        background.append(place)
        away = [(np.arange(length) - at) * edge for length, at, edge in zip(pet.shape, place, spacing, strict=True)]
        benign[away[0][:, None, None] ** 2 + away[1][:, None] ** 2 + away[2] ** 2 < 40**2] = 0
    points = [{"point": [int(index) for index in place], "name": "tumor"} for place in tumour]
    points += [{"point": [int(index) for index in place], "name": "background"} for place in background]
    return {"version": {"major": 1, "minor": 0}, "type": "Multiple points", "points": points}

"""Click files for tests: a grid, and documents of the formats on it."""

import json

import numpy as np

from clickpet.clicks.model import Clicks
from clickpet.clicks.reading import read_clicks

SHAPE = (40, 30, 50)
AFFINE = np.array([[-2.0, 0, 0, 60], [0, 2.0, 0, -35.5], [0, 0, 3.0, -900], [0, 0, 0, 1]])
TWO = Clicks([[1, 2, 3], [39, 29, 49], [1, 2, 3]], [[0, 0, 0]])


def written(folder, document, name="clicks.json"):
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def read(path, **options):
    return read_clicks(path, shape=SHAPE, affine=AFFINE, **options)


def challenge(*points, **more):
    listed = [{"point": point, "name": name} for point, name in points]
    return {"version": {"major": 1, "minor": 0}, "type": "Multiple points", "points": listed, **more}


def markups(*points, **more):
    listed = [{"label": label, "position": position} for label, position in points]
    return {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": listed, **more}]}

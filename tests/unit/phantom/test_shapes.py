"""Ellipsoids and tubes against their definition."""

import numpy as np
import pytest

from clickpet.phantom.shapes import Ellipsoid, Tube


@pytest.mark.parametrize(
    "shape",
    [
        Ellipsoid((3, -2, 5), (9, 6, 12)),
        Tube(((-10, 0, 0), (5, 8, 3), (5, 8, 20)), 4.5),
    ],
)
@pytest.mark.parametrize("turned", [1, -1])
def test_shapes_against_their_definition(shape, turned):
    axes = tuple(np.arange(-24, 25, step, dtype=float)[::turned] for step in (4, 5, 3))
    painted = np.zeros([len(axis) for axis in axes], bool)
    for part, inside in shape.parts(axes):
        painted[part] |= inside
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    if isinstance(shape, Ellipsoid):
        expected = (((points - shape.centre) / shape.radii) ** 2).sum(axis=-1) <= 1
    else:
        steps = np.linspace(0, 1, 1001)[:, None]
        line = np.concatenate(
            [a + steps * np.subtract(b, a) for a, b in zip(shape.points, shape.points[1:], strict=False)]
        )
        near = np.array([np.linalg.norm(line - point, axis=1).min() for point in points.reshape(-1, 3)])
        expected = (near <= shape.radius).reshape(painted.shape)
    assert expected.any()
    assert np.array_equal(painted, expected)

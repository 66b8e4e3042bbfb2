"""clickpet.projections against a plain loop."""

import numpy as np
import pytest

from clickpet.projections import project_lines


@pytest.mark.parametrize("columns", [1, 3, 40])
def test_each_column_has_the_maxima_of_its_lines(columns):
    rng = np.random.default_rng(columns)
    lines, column = rng.normal(size=(25, 7)), rng.integers(0, columns, 25)
    view = np.full((columns, 2, 7), 5.0)
    project_lines(lines, column, view[:, 1])
    assert (view[:, 0] == 5).all()
    for number in range(columns):
        mine = lines[column == number]
        np.testing.assert_array_equal(view[number, 1], mine.max(axis=0) if len(mine) else np.full(7, 5.0))

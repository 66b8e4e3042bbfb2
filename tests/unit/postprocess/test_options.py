"""Options of post-processing: the schema's keys and defaults, and what is refused."""

import pytest

from clickpet.config import schema
from clickpet.errors import InputError
from clickpet.postprocess.options import PostprocessOptions


def test_keys_and_defaults_are_those_of_the_schema():
    keys = schema()["properties"]["postprocess"]["properties"]
    defaults = {name: key["default"] for name, key in keys.items()}
    assert vars(PostprocessOptions()) == defaults
    assert PostprocessOptions.from_mapping(defaults) == PostprocessOptions()


@pytest.mark.parametrize(
    ("mapping", "clicks", "probability"),
    [
        ({}, False, False),
        ({"honour_clicks": True}, True, False),
        ({"min_unclicked_ml": 6}, True, False),
        ({"min_component_suv_max": 5}, False, False),
        ({"min_component_probability": 0.8}, False, True),
        ({"min_component_probability": 0.8, "component_limits_after_click": 1}, True, True),
        ({"component_limits_after_click": 2}, False, False),
    ],
)
def test_what_an_option_needs(mapping, clicks, probability):
    options = PostprocessOptions.from_mapping(mapping)
    assert (options.needs_clicks, options.needs_probability) == (clicks, probability)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"min_component_probability": 1.1}, "min_component_probability is 1.1; give a number from 0 to 1"),
        ({"grow_ml": -1}, "grow_ml is -1; give a number of at least 0"),
        ({"grow_ml": float("inf")}, "grow_ml is inf; give a number of at least 0"),
        ({"min_volume_mm3": "2"}, "min_volume_mm3 is '2'; give a number"),
        ({"honour_clicks": 1}, "honour_clicks is 1; give true or false"),
        ({"honor_clicks": True}, "honor_clicks is no option; give one of min_voxels"),
    ],
)
def test_what_is_refused(mapping, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        PostprocessOptions.from_mapping(mapping)

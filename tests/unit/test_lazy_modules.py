"""Lazy modules; each test in a Python of its own, since imports last."""

import subprocess
import sys


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nnunets_light_half_loads_no_heavy_module_until_it_is_used():
    run(
        "import sys; from clickpet.lazy_modules import before_nnunet; before_nnunet();"
        "from nnunetv2.utilities.plans_handling.plans_handler import PlansManager;"
        "from nnunetv2.preprocessing.resampling import default_resampling;"
        "assert not {'pandas.core', 'SimpleITK.SimpleITK'} & set(sys.modules);"
        "import numpy; assert default_resampling.pd.unique(numpy.ones(2)).tolist() == [1];"
        "assert 'pandas.core' in sys.modules"
    )


def test_a_module_that_was_lazy_is_the_module():
    run(
        "import sys; from clickpet.lazy_modules import import_lazily; import_lazily('pandas', 'no_such_module');"
        "import pandas as early; import pandas.api.types, pandas; from pandas import DataFrame;"
        "assert pandas.DataFrame is DataFrame and early.DataFrame is DataFrame;"
        "assert type(sys.modules['pandas']).__name__ == 'module';"
        "assert 'no_such_module' not in sys.modules"
    )


def test_a_module_that_is_there_already_stays():
    run(
        "import pandas as before; from clickpet.lazy_modules import import_lazily; import_lazily('pandas');"
        "import pandas; assert pandas is before"
    )

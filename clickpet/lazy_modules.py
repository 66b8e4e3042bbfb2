"""nnU-Net without what it imports and most jobs never use: those modules are loaded when they are first used.

A run starts thousands of short processes; pandas and SimpleITK, imported with the light half of nnU-Net, would cost
many of them as much as their work.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

HEAVY = ("pandas", "SimpleITK")


class LazyModule(ModuleType):
    """Stands in `sys.modules` for a module until an attribute is asked for, and has the module's own afterwards."""

    def __getattr__(self, attribute: str):
        name = self.__name__
        if sys.modules.get(name) is self:
            del sys.modules[name]
        module = importlib.import_module(name)
        self.__dict__.update(vars(module))
        return getattr(module, attribute)


def before_nnunet() -> None:
    """Make HEAVY lazy; to be called before nnU-Net is imported."""
    import_lazily(*HEAVY)


def import_lazily(*names: str) -> None:
    """Let imports of these top-level modules cost nothing until they are used.

    Modules that are loaded already or not installed are left as they are.
    """
    for name in names:
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        if spec is not None:
            module = LazyModule(name)
            module.__spec__, module.__file__ = spec, spec.origin  # what others ask of modules they do not use
            sys.modules[name] = module

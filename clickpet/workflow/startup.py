"""Faster start of short processes: heavy modules that most jobs never use are loaded when they are first used.

A run starts thousands of short processes. nibabel imports pydicom where it is installed, for readers of DICOM that
clickpet does not use, and the light half of nnU-Net imports pandas and SimpleITK: each costs a small job as much as its
work (0.2 s to 0.6 s). Only `clickpet.workflow.job.logged` and worker processes call this; the library itself imports
plainly, so that a notebook's session stays as it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from types import ModuleType

#: What nnU-Net imports and most jobs never use.
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


class _LightImports(MetaPathFinder):
    """Sees the first import of nibabel and of nnU-Net, and makes it cheap."""

    def find_spec(self, name, path=None, target=None):
        if name == "nnunetv2":
            import_lazily(*HEAVY)
        if name != "nibabel" or "pydicom" in sys.modules:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None:
            execute = spec.loader.exec_module

            def without_pydicom(module: ModuleType) -> None:
                sys.modules["pydicom"] = None  # nibabel takes the ImportError for "not installed"
                try:
                    execute(module)
                finally:
                    del sys.modules["pydicom"]

            spec.loader.exec_module = without_pydicom
        return spec


def light_imports() -> None:
    """From now on nibabel comes without pydicom, and nnU-Net without HEAVY; modules that are there already stay."""
    if not any(isinstance(finder, _LightImports) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LightImports())

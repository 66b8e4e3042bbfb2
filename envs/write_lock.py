"""Write requirements.lock from the installed packages, and the conda environments that mirror it."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

ENVS = Path(__file__).parent
LOCK = ENVS.parent / "requirements.lock"
#: Packages that the light jobs compute with; deep.yaml has the whole lock.
CORE = (
    "connected-components-3d", "jinja2", "markupsafe", "matplotlib", "contourpy", "cycler", "fonttools", "kiwisolver",
    "packaging", "pyparsing", "python-dateutil", "six", "nibabel", "importlib-resources", "typing-extensions",
    "numpy", "pandas", "pillow", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle",
    "pyjpegls", "highdicom", "pyyaml", "jsonschema", "jsonschema-specifications", "attrs", "referencing", "rpds-py",
    "scipy", "scikit-image", "imageio", "lazy-loader", "networkx", "tifffile", "simpleitk", "psutil",
)  # fmt: skip
NOT_LOCKED = ("clickpet", "pip")


def plain(name: str) -> str:
    """A package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> list[str]:
    """Pins of everything installed, sorted; a build tag such as +cpu is the machine's, not the lock's."""
    pins = {
        plain(found.metadata["Name"]): f"{found.metadata['Name']}=={found.version.split('+')[0]}"
        for found in distributions()
    }
    return [pins[name] for name in sorted(pins) if name not in NOT_LOCKED]


def environment(name: str, pins: list[str]) -> str:
    """A conda environment file that installs `pins` with pip."""
    lines = [f"# {name}: written by 'make lock' from requirements.lock"]
    lines += ["channels:", "  - conda-forge", "  - nodefaults"]
    lines += ["dependencies:", "  - python=3.11", "  - pip", "  - pip:", *(f"      - {pin}" for pin in pins)]
    return "\n".join(lines) + "\n"


def write() -> None:
    pins = installed()
    header = "# Every package that clickpet runs with, pinned. Written by 'make lock'."
    LOCK.write_text("\n".join([header, *pins]) + "\n")
    core = [pin for pin in pins if plain(pin.split("==")[0]) in CORE]
    (ENVS / "core.yaml").write_text(environment("core", core))
    (ENVS / "deep.yaml").write_text(environment("deep", pins))


if __name__ == "__main__":
    write()

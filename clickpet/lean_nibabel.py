"""nibabel, loaded without pydicom.

nibabel imports pydicom where it is installed, for readers of DICOM that clickpet does not use (its own are in
`clickpet.dicom_series`). That import costs a small job more than its work, and a cohort has ten thousand small jobs.
"""

from __future__ import annotations

import sys

__all__ = ["nibabel"]

if "pydicom" in sys.modules or "nibabel" in sys.modules:
    import nibabel
else:
    sys.modules["pydicom"] = None  # nibabel takes the ImportError for "not installed"
    try:
        import nibabel
    finally:
        del sys.modules["pydicom"]

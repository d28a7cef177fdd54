"""What a result was made with."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from wavegan.devices import hardware

_PACKAGES = ("wavegan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "soundfile")


def environment() -> dict[str, Any]:
    """Versions of all that computes, hardware and free disk."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "hardware": hardware(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "free_disk_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
    }

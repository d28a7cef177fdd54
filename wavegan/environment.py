"""What a result was made with."""

from __future__ import annotations

import os
import platform
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("wavegan", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "soundfile")


def environment() -> dict[str, Any]:
    """Versions of all that computes, hardware and free disk."""
    import jax

    devices = jax.devices()
    backend = f"jax {jax.__version__} on {len(devices)} {devices[0].device_kind}"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "hardware": f"{_processor()}, {os.cpu_count()} cores; {backend}",
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "free_disk_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.*\S)", text, re.MULTILINE)
    return found[1] if found else platform.machine()

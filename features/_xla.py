"""What XLA has to be told before it computes anything."""

import os
from importlib.metadata import version

# In jaxlib 0.11 a Fourier transform waits on the threads of the CPU's pool, also where it runs on
# one of them: as many at once as there are threads wait for each other, for ever. Without this pool
# transforms side by side still take a core each, and no network here is slower.
_FLAG = "--xla_cpu_multi_thread_eigen"
if version("jaxlib").startswith("0.11.") and _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}=false".strip()

"""`python -m experiments …` is `wavegan …`."""

import sys

from experiments.cli import main

sys.exit(main())

"""Fit the 27 NIST datasets. The code is in nbgrad.examples.nist, shipped with the package."""

import sys

from nbgrad.examples import on_device
from nbgrad.examples.nist import main

if __name__ == "__main__":
    on_device()
    sys.exit(main())

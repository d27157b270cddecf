"""Train two small networks. The code is in nbgrad.examples.train, shipped with the package."""

import sys

from nbgrad.examples import on_device
from nbgrad.examples.train import main

if __name__ == "__main__":
    on_device()
    sys.exit(main())

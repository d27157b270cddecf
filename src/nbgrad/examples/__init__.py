"""Programs that use nbgrad for real work; run them with ``python -m nbgrad.examples.<name>``."""

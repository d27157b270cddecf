"""nbgrad's benchmarks: asv reads the ``bench_*`` modules, ``report`` prints paired comparisons."""

"""What asv runs, a module a theme; the cases themselves are those of the other modules of ``benchmarks``.

Nothing is compiled when a module is imported: asv imports all of them to find out what there is.
"""

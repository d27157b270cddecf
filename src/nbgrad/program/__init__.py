"""From a tape to a Program: fusion, buffers, source, and the executables that run it."""

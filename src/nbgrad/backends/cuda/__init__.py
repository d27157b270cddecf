"""CUDA as a backend: see README.md one folder up."""

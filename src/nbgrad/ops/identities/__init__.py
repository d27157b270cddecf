"""Identities: what certain operations, met together, may be written as. Passes apply them, and name none."""

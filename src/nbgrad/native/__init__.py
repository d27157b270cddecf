"""Compiled functions of a user's: differentiating them, and giving them derivatives to call."""

"""The language of nbgrad: avals, nodes, primitives and tapes. No operation is named here."""

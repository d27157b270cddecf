"""The vocabulary of nbgrad: each operation is one declaration of one kind (see kinds/)."""

"""Public data: the list of them, where they lie on this machine, and how they are fetched."""

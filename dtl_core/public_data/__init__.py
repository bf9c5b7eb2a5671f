"""Public data: the list of them, where they are on this machine, and how they are fetched."""

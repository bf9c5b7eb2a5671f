"""A run from end to end: stages, the store that keeps their results, searches, and the figures of a run."""

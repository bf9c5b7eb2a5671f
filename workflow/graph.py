"""Dependencies between jobs and size of a catalogue's jobs, used by the engine and by the book's page."""

__all__ = ["CHUNK", "GRAPH"]

GRAPH = {  # rule of workflow/Snakefile: the rules whose results its jobs wait for
    "synthetic": (),
    "observed": (),
    "gap": ("synthetic", "observed"),
    "recommended": ("synthetic", "observed"),
    "candidate": ("synthetic",),
    "round": ("candidate",),
    "regression": ("synthetic", "observed", "round"),
    "catalogue": ("gap", "recommended", "regression"),
    "notebook": ("catalogue",),
    "book": ("notebook",),
    "chunk": (),
    "bulk": ("chunk",),
}

CHUNK = 8  # parts of a bulk catalogue that one job computes: minutes, while a process takes seconds to start

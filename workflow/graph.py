"""Which jobs wait for which, and how large a job of a catalogue is: what the engine and the book's page both need."""

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

"""Update size and hash of the package's models in dtl_core/public_data/registry.toml.

dtl models build -o dtl_core/data/models && python tools/register_models.py
"""

import re
from pathlib import Path

from dtl_core.files import file_hash, write_atomic

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# ---------------------------------------------------------------- trained models\n"


def entries(folder):
    """Text of the entries for all models in a folder."""
    out = []
    for path in sorted(Path(folder).glob("R*.safetensors"), reverse=True):
        power = int(path.stem[1:])
        out.append(
            f"""
[[resource]]
name = "models/{path.name}"
group = "models"
kind = "embedded"
what = "Networks, emulator and calibration for spectra of R = {power} and more, trained on the embedded spectra"
sha256 = "{file_hash(path)}"
size = {path.stat().st_size}
licence = "MIT"
cite = []
checked = "hash of the file in the package"
"""
        )
    return HEAD + "".join(out)


def register(registry, folder):
    """Replace the section ``HEAD`` of a registry, or append it."""
    text = Path(registry).read_text(encoding="utf-8")
    before, found, after = text.partition(HEAD)
    rest = re.search(r"^# -{64} ", after, re.M)
    beyond = "\n" + after[rest.start() :] if rest else ""
    write_atomic(registry, before.rstrip("\n") + "\n\n" + entries(folder) + beyond)


if __name__ == "__main__":
    register(ROOT / "dtl_core" / "public_data" / "registry.toml", ROOT / "dtl_core" / "data" / "models")

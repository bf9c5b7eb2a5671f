"""Stage ``observed``: the simulated survey, and the real stars that take part."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from astropy.table import Table

from ...files import file_hash, save_arrays
from ...preparing import chain
from ...reading.readers import companions
from ...reading.sources import Files
from ...synthetic import simulated_survey
from ...synthetic.libraries import library_hash

__all__ = ["make_observed"]


def make_observed(store, config, files):
    """Make the spectra and truth of the simulated survey, and prepare the real spectra after them.

    Parameters
    ----------
    store : Store
    config : Config
    files : list of Path
        Real spectra.

    Returns
    -------
    folder : Path
    key : str
    """

    def compute(folder):
        flux, truth = simulated_survey.survey_set(config)
        strict = config.survey.broken == "stop"
        found, refused = Files(files).batch().read(strict=strict)
        if config.survey.coadd:
            found = chain.group_exposures(found)
        real, reports, failures = chain.prepare_many(found, config, strict=strict)
        rows, names = [], set(truth["karmn"])
        for report in map(dataclasses.asdict, reports):
            report["file"] = Path(report["file"]).name  # the same data in another folder give the same result
            if report["star"] in names:  # a second exposure, or a name of the simulated survey
                report["star"] += f" ({Path(report['file']).stem})"
            names.add(report["star"])
            rows.append(report)
        save_arrays(folder / "observed.safetensors", {"flux": np.concatenate([flux, real])})
        Table.from_pandas(truth).write(folder / "truth.ecsv")
        record = {
            "stars": rows,
            "refused": [{"file": str(file), "error": str(error)} for file, error in refused + failures],
        }
        (folder / "reports.json").write_text(json.dumps(record, indent=1))

    survey = {k: v for k, v in dataclasses.asdict(config.survey).items() if k not in ("real_stars", "spectra")}
    settings = {
        "window": config.window,
        "continuum": config.continuum,
        "chain": config.chain,
        "survey": survey,
        "limb_darkening": config.synthetic.limb_darkening,
    }
    inputs = {name: library_hash(name) for name in ("grid_a", config.survey.library)}
    for number, path in enumerate(files):  # flat and masks of an HPF exposure count too
        inputs[f"{number}:{path.name}"] = file_hash(path)
        inputs |= {f"{number}:{beside.name}": file_hash(beside) for beside in companions(path)}
    return store.stage("observed", settings, inputs, compute)

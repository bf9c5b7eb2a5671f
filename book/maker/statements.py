"""Every number that the paper states, and how each is recomputed from public data, the profile ``paper`` and a run.

Published values are quotations from Mas-Buitrago et al. (2024, A&A 687, A205) and its code, and are only in
``STATEMENTS``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.literature import catalogues
from dtl_core.literature.comparison import SPLITS, comparison_table
from dtl_core.literature.kinematics import metallicity_by_population
from dtl_core.literature.paper_numbers import NUMBERS
from dtl_core.networks.autoencoder import layer_widths
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS, TABLE
from dtl_core.public_data import registry
from dtl_core.spectra.operators import window_grid

from .markdown import cite

__all__ = ["Public", "SECTIONS", "STATEMENTS", "STATUSES", "Statement"]


SECTIONS = {  # name: title on the page
    "data": "Data and label grid",
    "autoencoder": "Autoencoders",
    "transfer": "Fine-tuning",
    "regression": "Regression",
    "uncertainties": "Estimates and uncertainties",
    "literature": "Results against the literature",
    "astrophysics": "Astrophysics",
}
AGREES, CONFIGURED, DIFFERS, ABSENT = "agrees", "as configured", "differs", "not available"
SPECTRA, RUN, UNTESTED = "needs spectra that are not public", "run only", "not tested"
STATUSES = {  # status: what it means, Markdown
    AGREES: "recomputed from public tables, and equal in all digits that the paper prints",
    CONFIGURED: "a setting of the method: the profile `paper` has the same value",
    DIFFERS: "recomputed or configured, and not equal in those digits, even if only by one in the last; the reason is "
    "given where it is known",
    SPECTRA: "depends on the template spectra of the paper, or on networks tuned on them; neither was published "
    f"with it, and the public CARMENES spectra {cite(['ribas2023', 'nagel2023'], 'p')} are not the same",
    RUN: "a result of networks on synthetic spectra, which no public table holds; only a run gives its own value",
    UNTESTED: "it does not follow from public data, and no setting here corresponds to it",
    ABSENT: "would be recomputed, but the public table is absent or damaged on the machine that made this page",
}


class Public:
    """The public tables and the profile ``paper``: all that a recomputed value may use, each read once."""

    config = functools.cached_property(lambda self: load_profile("paper"))
    published = functools.cached_property(lambda self: catalogues.read_published())
    stars = functools.cached_property(lambda self: catalogues.read_stars())

    def __init__(self):
        self._comparisons = {}

    def comparison(self, source):
        """Rows of :func:`dtl_core.literature.comparison.comparison_table` for one source, by parameter and subset."""
        if source not in self._comparisons:
            found = comparison_table(self.published, [source])
            self._comparisons[source] = found.set_index(["parameter", "subset"]).sort_index()
        return self._comparisons[source]

    @functools.cached_property
    def labels(self):
        """(n, 4) labels of the paper's synthetic spectra: Teff [K], log g, [M/H], v sin i [km/s]."""
        path = registry.find("phoenix_labels.npy")
        if path is None:
            remedy = "dtl data fetch phoenix_labels.npy, or set DTL_DATA"
            raise DataError("is neither in DTL_DATA nor in the cache", file="phoenix_labels.npy", remedy=remedy)
        try:
            labels = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise DataError("is not an array", file=path, remedy="fetch it again") from None
        if labels.ndim != 2 or labels.shape[1] != 4 or not len(labels):
            raise DataError("has not four columns", file=path, remedy="fetch it again")
        return labels

    @functools.cached_property
    def populations(self):
        """[M/H] by kinematic population: summary and tests, each by name."""
        both = self.published[["karmn", "mh"]].merge(self.stars[["karmn", "pop"]], on="karmn", validate="one_to_one")
        summary, tests = metallicity_by_population(both["mh"], both["pop"])
        return summary.set_index("pop"), tests.set_index(["pop1", "pop2"])


@dataclass(frozen=True)
class Statement:
    """A number, or a tuple of numbers, that the paper or its code states.

    Attributes
    ---------
    key : unique name
    section : a key of ``SECTIONS``
    what : plain text
    published : the paper's value, in ``unit``
    step : one unit of the last printed digit; values agree when they are the same multiple of it
    recompute : function of a :class:`Public`, or None
    from_run : function of a finished run, or None
    status : status of a statement without ``recompute``; ``as configured`` with one: equality is a setting, no finding
    where : section of the paper, or what else states it; empty when it is not known
    reason : why values differ or cannot be compared, plain text
    aside : function of a Public, a number that completes the reason
    """

    key: str
    section: str
    what: str
    published: float | tuple
    unit: str = ""
    step: float = 1.0
    recompute: Callable | None = None
    from_run: Callable | None = None
    status: str = AGREES
    where: str = ""
    reason: str = ""
    aside: Callable | None = None


# ---------------------------------------------------------------- where values come from


def _figure(name):
    return lambda run: (getattr(run, "figures", None) or {}).get(name)


def _get(config, setting):
    return functools.reduce(getattr, setting.split("."), config)


def _setting(key, what, published, setting, *, of=None, **more):
    """A setting of the method: its value in the profile ``paper``, and in the run."""
    of = of or (lambda config: _get(config, setting))
    section = more.pop("section", None) or {"window": "data", "search": "autoencoder"}.get(
        setting.split(".")[0], setting.split(".")[0]
    )
    return Statement(
        key, section, what, published, recompute=lambda public: of(public.config),
        from_run=lambda run: of(run.config), status=CONFIGURED, **more,
    )  # fmt: skip


_NEAR = {"reason": "A near miss, in the last digit."}
_REMARKS = {  # (source, parameter, statistic): further fields of the statement
    ("Mar21", "teff", "pearson_r"): _NEAR,
    ("Bello23", "mh", "mean_diff"): _NEAR,
    ("Schw19", "logg", "mean_diff"): {
        "reason": "The paper plots log g from mass and radius, as recomputed here, and quotes the spectroscopic one. "
        "With that, the mean difference in dex is",
        "aside": lambda public: public.comparison("Schw19 spectroscopic").loc[("logg", "all"), "mean_diff"],
    },
}


def _statistic(number):
    """One statistic of the comparison with a source."""
    source, parameter, name, published, step, subset = number
    kinds = {"mean_diff": "mean difference", "pearson_r": "Pearson r", "N": "number of stars"}
    unit = "" if name in ("pearson_r", "N") else TABLE[parameter].unit
    part = "" if subset == "all" else f", {subset.replace('vsini', 'v sin i ').replace('>=', '≥ ').replace('<', '< ')}"
    key = f"{source}_{parameter}_{name}_{subset}".lower().replace(" ", "_").replace("+", "_")
    return Statement(
        key, "literature", f"{source}, {TABLE[parameter].symbol}{part}: {kinds[name]}", published, unit, step,
        recompute=lambda public: public.comparison(source).loc[(parameter, subset), name],
        **_REMARKS.get(number[:3], {}),
    )  # fmt: skip


def _edge(parameter, edge, published, unit, step):
    """Lowest or highest estimate of a parameter over all stars."""
    word = {"min": "lowest", "max": "highest"}[edge]
    title = TABLE[parameter].symbol

    def from_run(run):
        values = np.asarray(run.catalogue_of("transfer")[PARAMETER_COLUMNS[parameter]], float)
        return getattr(np, edge)(values[: len(run.truth)])

    return Statement(
        f"range_{parameter}_{edge}", "astrophysics", f"estimates, {word} {title}", published, unit, step,
        recompute=lambda public: public.published[parameter].agg(edge), from_run=from_run, where="abstract",
    )  # fmt: skip


def _smallest_step(column):
    return lambda public: np.diff(np.unique(public.labels[:, column].round(6))).min()


def _edge_of_labels(column, edge):
    return lambda public: getattr(public.labels[:, column], edge)()


def _kernel(config):
    """Length of the regressors' convolution: rows of its weights for each input channel."""
    import torch

    from dtl_core.networks.regressor import Regressor

    latent = torch.linspace(0, 1, 4 * config.autoencoder.bottleneck).reshape(4, -1)
    model = Regressor(latent, torch.linspace(0, 1, 4)[None], [0], filters=(2, 2), units=(2, 2, 2))
    first = next(weight for name, weight in model.named_parameters() if name.endswith("weight"))
    return first.shape[-2]


def _pixels(config):
    return len(window_grid(config.window, margin=False))


def _widths(config):
    """Widths of the encoder's hidden layers but the first, in units of the first."""
    width = config.autoencoder.widths[0]
    return tuple(n / width for n in layer_widths(_pixels(config), width, config.autoencoder.bottleneck)[2:-1])


def _implied_rotations():
    """How many v sin i the stated size of the full grid leaves, given the other axes as stated."""
    stated = {s.key: s.published for s in STATEMENTS}
    nodes = [round((stated[f"{p}_max"] - stated[f"{p}_min"]) / stated[f"{p}_step"]) + 1 for p in ("teff", "logg", "mh")]
    return stated["grid_full"] / np.prod(nodes)


def _in_passegger(public):
    """(n_stars,) bool: which stars of the catalogue Pass19 has."""
    return public.published["karmn"].isin(catalogues.read_literature("Pass19 VIS")["karmn"])


def _n_kind(population):
    return lambda public: int((public.stars["pop"] == population).sum())


def _probable(limit):
    return lambda public: int((public.stars["banyan_best_ya_prob"] > limit).sum())


# ---------------------------------------------------------------- the statements

_FULL_GRID = "Only the labels left after the cut are public, not those of the full grid."
_REACHED = "The labels after the cut reach it."
_TUNED = "This needs the networks tuned on the observed spectra."
_TEMPLATES = "A property of the templates."
_CHOICE = "A choice for a figure: there is nothing to recompute."
_FLAG = "The table of stars has a flag for them, but it names the paper's own stars: counting it would test nothing."
_MSE = "This needs the trained networks; no public table has them."
STATEMENTS = (
    # data
    Statement("n_stars", "data", "stars", 286, recompute=lambda public: len(public.published),
              from_run=_figure("n_survey")),
    Statement("n_passegger", "data", "stars of Pass19 among them", 282,
              recompute=lambda public: int(_in_passegger(public).sum())),
    Statement("n_added", "data", "stars added to them", 4,
              recompute=lambda public: int((~_in_passegger(public)).sum())),
    Statement("n_exposures", "data", "exposures of a template, at least", 5, status=SPECTRA, reason=_TEMPLATES),
    Statement("snr", "data", "S/N of a template, above", 150, status=SPECTRA, reason=_TEMPLATES),
    _setting("resolving_power", "resolving power", 94_600, "window.resolving_power", step=100),
    _setting("window_start", "window, from", 8800, "window.start", unit="Å"),
    _setting("window_stop", "window, to", 8835, "window.stop", unit="Å"),
    _setting("window_step", "step of the wavelength grid", 0.01, "window.step", unit="Å", step=0.01),
    _setting("window_margin", "margin for the continuum, each side", 5, "window.margin", unit="Å"),
    _setting("n_pixels", "pixels", 3501, "window", of=_pixels),
    Statement(
        "grid_full", "data", "spectra of the full grid", 449_806, step=1, status=UNTESTED,
        reason=f"{_FULL_GRID} By the stated ranges and steps of the other three, the number of v sin i must be",
        aside=lambda public: _implied_rotations(),
    ),
    Statement(
        "grid_cut", "data", "spectra after the main-sequence cut", 22_933,
        recompute=lambda public: len(public.labels), from_run=_figure("n_synthetic"),
    ),
    Statement("teff_min", "data", "full grid, Teff from", 2300, "K", status=UNTESTED, reason=_FULL_GRID),
    Statement("teff_max", "data", "full grid, Teff to", 4500, "K", status=UNTESTED, reason=_FULL_GRID),
    Statement("teff_step", "data", "step in Teff", 25, "K", recompute=_smallest_step(0),
              from_run=lambda run: run.config.synthetic.teff_step),
    Statement("logg_min", "data", "full grid, log g from", 4.2, "dex", 0.1, status=UNTESTED, reason=_FULL_GRID),
    Statement("logg_max", "data", "full grid, log g to", 5.5, "dex", 0.1, status=UNTESTED, reason=_FULL_GRID),
    Statement("logg_step", "data", "step in log g", 0.1, "dex", 0.1, recompute=_smallest_step(1),
              from_run=lambda run: run.config.synthetic.logg_step),
    Statement("mh_min", "data", "full grid, [M/H] from", -1.0, "dex", 0.1, recompute=_edge_of_labels(2, "min"),
              from_run=lambda run: run.config.synthetic.mh_min, reason=_REACHED),
    Statement("mh_max", "data", "full grid, [M/H] to", 0.8, "dex", 0.1, status=UNTESTED, reason=_FULL_GRID),
    Statement("mh_step", "data", "step in [M/H]", 0.1, "dex", 0.1, recompute=_smallest_step(2),
              from_run=lambda run: run.config.synthetic.mh_step),
    Statement("vsini_min", "data", "full grid, v sin i from", 1.5, "km/s", 0.1, recompute=_edge_of_labels(3, "min"),
              from_run=lambda run: min(run.config.synthetic.vsini), reason=_REACHED),
    Statement(
        "vsini_max", "data", "full grid, v sin i to", 60, "km/s", recompute=_edge_of_labels(3, "max"),
        from_run=lambda run: max(run.config.synthetic.vsini),
        reason="The public labels are those after the main-sequence cut. That cut does not involve v sin i, yet they "
        "stop short of the stated value.",
    ),
    Statement("distance_flux", "data", "mean distance, observed to nearest synthetic spectrum, in flux", 2.72, "", 0.01,
              status=SPECTRA, from_run=_figure("distance_flux")),
    # autoencoder
    _setting("layers", "widths of encoder layers 2 to 5 over the first", (0.75, 0.5, 0.25, 0.125), "autoencoder",
             of=_widths, step=0.001, where="3.1"),
    _setting("bottleneck", "units of the bottleneck", 32, "autoencoder.bottleneck", where="3.1"),
    _setting("ae_batch", "batch size", 128, "autoencoder.batch_size", where="3.1"),
    _setting("ae_test", "fraction of spectra for tests", 0.30, "autoencoder.test_fraction", step=0.01, where="3.1"),
    _setting("folds", "folds of the grid search", 4, "search.folds", where="3.1"),
    _setting("search_epochs", "epochs of the grid search", 15, "search.epochs", where="3.1"),
    _setting("widths", "neurons of the first layer in the grid search", (1024, 1280, 1536, 1792, 2048),
             "autoencoder.widths", where="published code"),
    _setting(
        "l1", "L1 factors in the grid search", (0.8e-7, 0.9e-7, 1.0e-7, 1.1e-7, 1.2e-7), "autoencoder.l1", step=1e-8,
        where="published code",
        reason="The published grid has fewer combinations than architectures were kept, so the profile has one factor "
        "more.",
    ),
    _setting("ae_rate", "learning rate kept", 1e-4, "autoencoder.learning_rate", step=1e-4, where="3.1"),
    _setting("n_autoencoders", "architectures kept", 26, "autoencoder.n_models", where="3.1"),
    _setting("ae_epochs", "epochs of training", 120, "autoencoder.epochs", where="3.1"),
    _setting("contractive", "weight of the contractive penalty", 1e-4, "autoencoder.contractive_weight", step=1e-4,
             where="3.1"),
    Statement("ae_mse", "autoencoder", "MSE of synthetic test spectra, about", 5e-5, "", 1e-5, where="3.1",
              from_run=_figure("autoencoder_test_mse"), status=RUN, reason=_MSE),
    # transfer
    _setting("transfer_test", "fraction of observed spectra for tests", 0.20, "transfer.test_fraction", step=0.01,
             where="3.2"),
    _setting("frozen", "frozen encoder layers", 4, "transfer.frozen_layers", where="3.2"),
    _setting("transfer_epochs", "epochs of fine-tuning", 60, "transfer.epochs", where="3.2"),
    Statement("before", "transfer", "MSE of observed test spectra before fine-tuning", 3e-3, "", 1e-3, where="3.2",
              from_run=_figure("reconstruction_before"), status=SPECTRA, reason=_TUNED),
    Statement("after", "transfer", "MSE of observed test spectra after fine-tuning", 4e-4, "", 1e-4, where="3.2",
              from_run=_figure("reconstruction_after"), status=SPECTRA, reason=_TUNED),
    Statement("distance_latent", "transfer", "mean distance, observed to nearest synthetic latent", 0.086, "", 0.001,
              where="3.2", from_run=_figure("distance_latent_after"), status=SPECTRA, reason=_TUNED),
    # regression
    _setting("kernel", "kernel of the convolutions", 2, "regression", of=_kernel, where="3.3"),
    _setting("filters", "filters of the two convolutions, for Teff", (64, 32), "regression.teff.filters", where="3.3"),
    _setting("units", "units of the dense layers, for Teff", (256, 128, 64), "regression.teff.units", where="3.3"),
    _setting("cnn_rate", "learning rate, for Teff", 0.01, "regression.teff.learning_rate", step=0.01, where="3.3"),
    _setting("cnn_epochs", "epochs, for Teff", 200, "regression.epochs", where="3.3"),
    _setting("cnn_batch", "batch size, for Teff", 32, "regression.batch_size", where="3.3"),
    _setting("cnn_test", "fraction of spectra for tests", 0.30, "regression.test_fraction", step=0.01, where="3.3"),
    _setting("per_autoencoder", "networks for each autoencoder and parameter", 5, "regression.n_models", where="3.3"),
    _setting("per_parameter", "networks for each parameter", 130, "regression", where="3.3",
             of=lambda config: config.regression.n_models * config.autoencoder.n_models),
    _setting("networks", "networks in all", 520, "regression", where="3.3",
             of=lambda config: len(PARAMETERS) * config.regression.n_models * config.autoencoder.n_models),
    # uncertainties
    _setting("kept", "networks kept for each parameter: estimates for each star", 80, "regression.n_kept",
             section="uncertainties", where="3.3"),
    *(
        Statement(f"worst_{p.name}", "uncertainties", f"largest test MSE kept, {p.symbol}", p.published_mse,
                  f"({p.unit})²" if "/" in p.unit else f"{p.unit}²", step, where="3.3",
                  from_run=_figure(f"worst_kept_mse_{p.name}"), status=RUN, reason=_MSE)
        for p, step in zip(TABLE.values(), (1, 0.0001, 0.0001, 0.001), strict=True)
    ),
    # literature minus this work
    *map(_statistic, NUMBERS),
    Statement("split_teff", "literature", "Teff above which estimates tilt to hotter values", 3750, "K",
              recompute=lambda _: SPLITS["teff"], status=CONFIGURED, where="abstract"),
    Statement("split_vsini", "literature", "v sin i at which comparisons are split", 12, "km/s",
              recompute=lambda _: SPLITS["vsini"], status=CONFIGURED),
    # astrophysics
    _edge("teff", "min", 3050, "K", 50),
    _edge("teff", "max", 4300, "K", 50),
    _edge("logg", "min", 4.7, "dex", 0.1),
    _edge("logg", "max", 5.1, "dex", 0.1),
    _edge("mh", "min", -0.53, "dex", 0.01),
    _edge("mh", "max", 0.25, "dex", 0.01),
    Statement("isochrone_ages_kiel", "astrophysics", "age of the isochrones, Kiel diagram", 5, "Gyr",
              status=UNTESTED, reason=_CHOICE),
    Statement("isochrone_mh_kiel", "astrophysics", "[M/H] of the isochrones, Kiel diagram", (-0.4, 0.0, 0.1), "dex",
              0.1, status=UNTESTED, reason=_CHOICE),
    Statement("isochrone_ages_hr", "astrophysics", "ages of the isochrones, HR diagram", (0.1, 5.0), "Gyr", 0.1,
              status=UNTESTED, reason=_CHOICE),
    Statement("halpha", "astrophysics", "pEW′(Hα) of active stars, below", -0.3, "Å", 0.1, status=UNTESTED,
              reason="A choice; the flag of activity in the table of stars was reconstructed with it."),
    Statement("n_td", "astrophysics", "thick-disc stars", 21, recompute=_n_kind("TD")),
    Statement("n_td_d", "astrophysics", "stars of the transition", 13, recompute=_n_kind("TD-D")),
    Statement("n_d", "astrophysics", "thin-disc stars", 167, recompute=_n_kind("D")),
    Statement("n_yd", "astrophysics", "young-disc stars", 85, recompute=_n_kind("YD")),
    Statement("ks", "astrophysics", "p of the Kolmogorov-Smirnov test, [M/H] of thin against thick disc", 0.0071, "",
              0.0001, recompute=lambda public: public.populations[1].loc[("D", "TD"), "p_untied"]),
    Statement("young_80", "astrophysics", "stars in a young association, probability above 80 %", 9,
              recompute=_probable(0.80)),
    Statement("young_95", "astrophysics", "stars in a young association, probability above 95 %", 7,
              recompute=_probable(0.95)),
    Statement("young_more", "astrophysics", "further young stars by Schw19", 4, status=UNTESTED, reason=_FLAG),
    Statement("subdwarfs", "astrophysics", "stars like subdwarfs", 4, status=UNTESTED, reason=_FLAG),
)  # fmt: skip

r"""True values from a table of published values: a hierarchical model, its sampler and its checks.

The model of one parameter, for star *i* and catalogue *c* of family *f(c)*, all in units of ``SCALES``:

.. math::

    y_{ic} = a_c + (1 + b_c) x_i
             + \sqrt{v_{ic}} \left( l_c u_{i f(c)} + \sqrt{1 - l_c^2}\, \epsilon_{ic} \right), \qquad
    v_{ic} = e_{ic}^2 + s_c^2, \qquad x_i \sim N(\mu, \sigma^2)

*x* is the true value minus ``PIVOTS``, *a* the zero point, *1 + b* the slope, *e* the quoted error, *s* the scatter
beyond it, *u* an error of the star that all catalogues of a family share, and :math:`l^2` its share of the variance.
Anchors have *a = b = l = 0*. One value of a star may be an outlier, with the variance :math:`s_\mathrm{out}^2` in
addition. True values and shared errors are integrated out exactly, so only the other parameters are sampled.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..extras import import_extra

__all__ = [
    "MAX_RHAT",
    "MIN_EFFECTIVE",
    "PIVOTS",
    "SCALES",
    "Draws",
    "Outcomes",
    "Values",
    "evidence",
    "marginal",
    "outcomes",
    "sample",
    "simulate",
]


PIVOTS = {"teff": 3500.0, "logg": 4.9, "mh": 0.0}  # where zero points hold
SCALES = {"teff": 100.0, "logg": 0.1, "mh": 0.1}  # units of the model
MAX_RHAT, MIN_EFFECTIVE = 1.01, 400  # Vehtari et al. (2021, Bayesian Analysis 16, 667)


@dataclass(frozen=True)
class Values:
    """The published values of one parameter.

    Attributes
    ----------
    parameter : str
    stars : (n_stars,) array of str
    names : tuple of str
        Catalogues, then anchors.
    value, error : (n_stars, n_catalogues) array
        NaN where a catalogue has no value of the star.
    families : tuple of str
        Family of each catalogue; catalogues of one family share an error of the star.
    anchors : tuple of str
        Names of the catalogues that define the scale.
    robust : bool
        Whether a value may be an outlier.
    """

    parameter: str
    stars: np.ndarray
    names: tuple
    value: np.ndarray
    error: np.ndarray
    families: tuple
    anchors: tuple = ()
    robust: bool = True

    @property
    def structure(self):
        """Which catalogues are not anchors; which are alone in their family; their families (0 or 1); ``robust``."""
        _, number, count = np.unique(self.families, return_inverse=True, return_counts=True)
        free = ~np.isin(self.names, self.anchors)
        return free, count[number] == 1, np.eye(len(count))[number], np.array(self.robust)

    def without(self, hidden):
        """The same values without those where ``hidden``, an (n_stars, n_catalogues) array of bool, is True."""
        return replace(self, value=np.where(hidden, np.nan, self.value))

    def scaled(self):
        """Values minus the pivot and errors in units of the model, 0 and 1 if absent, and which are there (0 or 1)."""
        there = np.isfinite(self.value)
        value = (self.value - PIVOTS[self.parameter]) / SCALES[self.parameter]
        return np.where(there, value, 0.0), np.where(there, self.error / SCALES[self.parameter], 1.0), 1.0 * there


@dataclass(frozen=True)
class Draws:
    """Draws from the posterior, in units of the model.

    Attributes
    ----------
    values : Values
    parameters : dict of str to array
        First axis: draws. a, b, s, load (n_draws, n_catalogues); mu, sigma, s_out, p_out (n_draws,).
    diagnostics : dict
        max_rhat (split), min_effective, divergences, and n_draws of all chains.
    """

    values: Values
    parameters: dict
    diagnostics: dict

    def subset(self, n):
        """The parameters of ``n`` evenly spaced draws."""
        total = len(self.parameters["mu"])
        chosen = np.linspace(0, total - 1, min(n, total)).astype(int)
        return {name: draws[chosen] for name, draws in self.parameters.items()}


def marginal(theta, y, e, there, families, xp=np):
    """Probability of the values of each star with its true value integrated out, and the true value given them.

    Parameters
    ----------
    theta : dict of str to array
        One draw: a, b, s, load (n_catalogues,), mu, sigma, s_out, p_out.
    y, e, there : (n_stars, n_catalogues) array
        As returned by :meth:`Values.scaled`.
    families : (n_catalogues, n_families) array
        1 where a catalogue belongs to a family, else 0.
    xp : module
        numpy, or jax.numpy for gradients.

    Returns
    -------
    logp, mean, variance : (n_stars, 1 + n_catalogues) array
        For each hypothesis: no value is an outlier; that of catalogue 0 is, and so on (-inf where there is none).
        ``logp`` is joint with the prior of the hypothesis; the others are of the true value, in units of the model.
    deviation : (n_stars, n_catalogues) array
        Deviation of each value from the prediction of all other values of the star; 0 where there is none.
    """
    slope, v = 1 + theta["b"], e**2 + theta["s"] ** 2
    r = y - theta["a"] - slope * theta["mu"]
    own = (1 - theta["load"] ** 2) * v
    weight, shared = there / own, theta["load"] * xp.sqrt(v)

    # The inverse of the covariance at a given true value, applied to r and to the slope (Sherman-Morrison).
    amount = 1 + (weight * shared**2) @ families
    pull_r = weight * (r - shared * (((weight * shared * r) @ families / amount) @ families.T))
    pull_x = weight * (slope - shared * (((weight * shared * slope) @ families / amount) @ families.T))
    rr, rx, xx = ((pull * z).sum(1, keepdims=True) for pull, z in ((pull_r, r), (pull_x, r), (pull_x, slope)))
    precision, n = xx + 1 / theta["sigma"] ** 2, there.sum(1, keepdims=True)
    logdet = (there * xp.log(own)).sum(1, keepdims=True) + xp.log(amount).sum(1, keepdims=True)
    logdet = logdet + xp.log(precision * theta["sigma"] ** 2)
    plain = -0.5 * (rr - rx**2 / precision + logdet + n * np.log(2 * np.pi))

    # Extra variance of one value: alpha and kappa are its elements of K^-1 r and of the diagonal of K^-1.
    gain = pull_x / precision
    alpha = pull_r - gain * rx
    kappa = weight - (weight * shared) ** 2 * ((1 / amount) @ families.T) - gain * pull_x
    growth = 1 / (1 / theta["s_out"] ** 2 + kappa)
    odds = theta["p_out"] / (1 - theta["p_out"])  # prior of the hypotheses: at most one outlier
    outlier = plain + 0.5 * (alpha**2 * growth - xp.log1p(kappa * theta["s_out"] ** 2)) + xp.log(odds)
    logp = xp.concatenate([plain, xp.where(there > 0, outlier, -np.inf)], axis=1) - xp.log1p(n * odds)
    nothing = xp.zeros_like(plain)
    mean = theta["mu"] + rx / precision - xp.concatenate([nothing, gain * alpha * growth], axis=1)
    variance = 1 / precision + xp.concatenate([nothing, gain**2 * growth], axis=1)
    return logp, mean, variance, alpha / xp.where(there > 0, kappa, 1.0)


def _model(structure, y, e, there):
    """The priors, and the likelihood of :func:`marginal`: a numpyro model."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    free, alone, families, robust = structure

    def spread_out(name, where, distribution):  # zero where not free
        if not where.any():
            return jnp.zeros(len(where))
        drawn = numpyro.sample(name, distribution.expand([int(where.sum())]).to_event(1))
        return jnp.zeros(len(where)).at[np.flatnonzero(where)].set(drawn)

    # Zero points and slopes scatter about common ones, so that the anchors decide on these.
    zero, tilt = numpyro.sample("zero", dist.Normal(0, 2)), numpyro.sample("tilt", dist.Normal(0, 0.3))
    theta = {
        "a": spread_out("a", free, dist.Normal(zero, 1)),
        "b": spread_out("b", free, dist.Normal(tilt, 0.2)),
        "load": spread_out("load", ~alone, dist.Uniform(0, 1)),
        "s": numpyro.sample("s", dist.Normal(0, 2).expand([len(free)]).to_event(1)),  # its sign is arbitrary
        "mu": numpyro.sample("mu", dist.Normal(0, 3)),
        "sigma": numpyro.sample("sigma", dist.HalfNormal(4)),
        "s_out": numpyro.sample("s_out", dist.LogNormal(np.log(4.0), 0.5)),
        "p_out": numpyro.sample("p_out", dist.Beta(1, 50)) if robust else 1e-9,
    }
    logp, *_ = marginal(theta, y, e, there, families, jnp)
    numpyro.factor("values", jax.scipy.special.logsumexp(logp, axis=-1).sum())


def _start(structure):
    """Where the search for the most probable parameters begins: a dict of unconstrained parameters."""
    free, alone, _, robust = structure
    counts = {"a": free.sum(), "b": free.sum(), "load": (~alone).sum(), "s": len(free)}
    values = {"load": 0.5, "s": 0.3, "sigma": 1.0, "s_out": 1.4, "p_out": -4.0}
    names = ["a", "b", *(["load"] if counts["load"] else []), *(["p_out"] if robust else [])]
    names += ["mu", "s", "s_out", "sigma", "tilt", "zero"]
    return {n: np.full(counts.get(n, ()), values.get(n, 0.0)) for n in names}


@functools.lru_cache(maxsize=8)
def _machinery(key, warmup, draws, chains):
    """Functions for tables of one structure, compiled once: energy with gradient, parameters, sampler."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from jax.flatten_util import ravel_pytree
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS
    from numpyro.infer.util import constrain_fn, potential_energy

    structure = (*(np.array(part) for part in key[:3]), key[3][0])
    start, unravel = ravel_pytree({name: jnp.asarray(value, float) for name, value in _start(structure).items()})

    def energy(x, data):
        with numpyro.handlers.block():  # the sampler sees x alone
            return potential_energy(_model, (structure, *data), {}, unravel(x))

    def whitened(data, centre, scale):
        z = numpyro.sample("z", dist.ImproperUniform(dist.constraints.real_vector, (), start.shape))
        numpyro.factor("energy", -energy(centre + scale @ z, data))

    # 0.95: narrow necks of the scatters make larger steps diverge now and then
    kernel = NUTS(
        whitened, max_tree_depth=8, target_accept_prob=0.95, init_strategy=numpyro.infer.init_to_uniform(radius=0.5)
    )
    mcmc = MCMC(
        kernel, num_warmup=warmup, num_samples=draws, num_chains=chains, chain_method="vectorized", progress_bar=False
    )
    parameters = jax.jit(jax.vmap(lambda x, data: constrain_fn(_model, (structure, *data), {}, unravel(x)), (0, None)))
    return np.asarray(start), jax.jit(jax.value_and_grad(energy)), parameters, mcmc


def sample(values, *, warmup=500, draws=500, chains=4, seed=0):
    """Draw from the posterior of zero points, slopes, scatters and shares with the no-U-turn sampler of numpyro.

    The sampler works in coordinates in which the posterior is nearly a unit Gaussian about its maximum.

    Parameters
    ----------
    values : Values
    warmup, draws, chains : int
        Draws of each chain before and after it is used.
    seed : int
        The same seed gives the same draws.

    Returns
    -------
    Draws

    Raises
    ------
    ConfigError
        numpyro is not installed.
    DataError
        No star has two values.

    References
    ----------
    Phan et al. (2019, arXiv:1912.11554); Hoffman & Gelman (2014, JMLR 15, 1593)
    """
    import_extra("numpyro", "consensus")
    import jax
    from numpyro.diagnostics import summary

    if not np.any(np.isfinite(values.value).sum(1) > 1):
        raise DataError("no star has two values", field=values.parameter, remedy="give catalogues that share stars")
    with jax.enable_x64(True):
        start, energy, parameters, mcmc = _machinery(_key(values), warmup, draws, chains)
        data = values.scaled()
        best, scale = _most_probable(energy, start, data)
        mcmc.run(jax.random.PRNGKey(seed), data, best, scale, extra_fields=("diverging",))
        x = best + np.asarray(mcmc.get_samples()["z"]) @ scale.T
        theta = {name: np.asarray(value) for name, value in parameters(x, data).items()}
        divergences = int(np.asarray(mcmc.get_extra_fields()["diverging"]).sum())
    theta["s"] = np.abs(theta["s"])
    chained = {name: value.reshape(chains, draws, *value.shape[1:]) for name, value in theta.items()}
    statistics = summary(chained).values()
    diagnostics = {
        "max_rhat": float(max(np.max(one["r_hat"]) for one in statistics)),
        "min_effective": float(min(np.min(one["n_eff"]) for one in statistics)),
        "divergences": divergences,
        "n_draws": draws * chains,
    }
    return Draws(values, {name: _spread_out(values, name, value) for name, value in theta.items()}, diagnostics)


def _key(values):
    return tuple(
        tuple(map(tuple, part)) if part.ndim > 1 else tuple(np.atleast_1d(part).tolist()) for part in values.structure
    )


def evidence(values):
    """Logarithm of the probability of all values under a model, by Laplace's approximation at its maximum.

    Parameters
    ----------
    values : Values
        Models of the same values differ in ``families``.

    Returns
    -------
    float
    """
    import_extra("numpyro", "consensus")
    import jax

    with jax.enable_x64(True):
        start, energy, *_ = _machinery(_key(values), 1, 1, 1)
        best, scale = _most_probable(energy, start, values.scaled())
        top = float(energy(best, values.scaled())[0])
    return -top + np.linalg.slogdet(scale)[1] + 0.5 * len(best) * np.log(2 * np.pi)


def _most_probable(energy, start, data):
    """Maximum of the posterior, and a square root of the covariance there."""
    from scipy.optimize import minimize

    def objective(x):
        value, gradient = energy(x, data)
        return float(value), np.asarray(gradient)

    best = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 3000, "maxfun": 5000}).x
    step = 1e-4 * np.eye(len(best))
    hessian = np.stack([(objective(best + h)[1] - objective(best - h)[1]) / 2e-4 for h in step])
    variance, directions = np.linalg.eigh((hessian + hessian.T) / 2)
    return best, directions / np.sqrt(np.maximum(variance, 0.1))


def _spread_out(values, name, drawn):
    """Parameters of all catalogues, zero where a catalogue has none."""
    free, alone, _, _ = values.structure
    where = {"a": free, "b": free, "load": ~alone}.get(name)
    if where is None:
        return drawn
    out = np.zeros((len(drawn), len(where)))
    out[:, where] = drawn
    return out


class Outcomes(NamedTuple):
    """True values, outliers and deviations of stars, from draws of the parameters.

    Attributes
    ----------
    true : (n_draws, n_stars) array
        Draws of the true values, in the unit of the parameter.
    outlier : (n_stars, n_catalogues) array
        Probability of each value to be an outlier; NaN where there is none.
    deviation : (n_stars, n_catalogues) array
        Deviation of each value from the prediction of all other values of the star, in the unit of the parameter.
    evidence : (n_draws, n_stars) array
        Logarithm of the probability of the values of each star.
    """

    true: np.ndarray
    outlier: np.ndarray
    deviation: np.ndarray
    evidence: np.ndarray


def outcomes(draws, n=400, seed=0):
    """Draw true values, and which value of the star is an outlier, for draws of the parameters.

    Parameters
    ----------
    draws : Draws
    n : int
        Draws of the parameters that are used.
    seed : int

    Returns
    -------
    Outcomes
    """
    random, (y, e, there), (_, _, families, _) = (
        np.random.default_rng(seed),
        draws.values.scaled(),
        draws.values.structure,
    )
    chosen, row = draws.subset(n), np.arange(len(y))
    true, outlier, deviation, evidence = [], [], [], []
    for k in range(len(chosen["mu"])):
        theta = {name: drawn[k] for name, drawn in chosen.items()}
        logp, mean, variance, off = marginal(theta, y, e, there, families)
        evidence.append(np.logaddexp.reduce(logp, axis=1))
        share = np.exp(logp - evidence[-1][:, None])
        which = (random.random((len(y), 1)) > np.cumsum(share, axis=1)[:, :-1]).sum(1)
        true.append(random.normal(mean[row, which], np.sqrt(variance[row, which])))
        outlier.append(share[:, 1:])
        deviation.append(off)
    pivot, scale = PIVOTS[draws.values.parameter], SCALES[draws.values.parameter]
    outlier, deviation = (np.where(there > 0, np.mean(x, axis=0), np.nan) for x in (outlier, deviation))
    return Outcomes(pivot + scale * np.array(true), outlier, scale * deviation, np.array(evidence))


def simulate(values, theta, seed=0):
    """Simulate published values from the model, wherever a table has values, with its quoted errors.

    Parameters
    ----------
    values : Values
        Its stars, errors and families are kept.
    theta : dict of str to array
        One draw, in units of the model.
    seed : int

    Returns
    -------
    values : Values
    true : (n_stars,) array
        True values, in the unit of the parameter.
    """
    random, (_, e, there), (_, _, families, _) = np.random.default_rng(seed), values.scaled(), values.structure
    n, m = there.shape
    x = random.normal(theta["mu"], theta["sigma"], n)
    scatter = np.sqrt(e**2 + theta["s"] ** 2)
    shared = random.normal(size=(n, families.shape[1])) @ families.T
    y = x[:, None] * (1 + theta["b"]) + theta["a"] + scatter * theta["load"] * shared
    y += scatter * np.sqrt(1 - theta["load"] ** 2) * random.normal(size=(n, m))
    number = there.sum(1) * theta["p_out"] / (1 - theta["p_out"])
    has_outlier = random.random(n) < number / (1 + number)
    which = (random.random((n, m)) * there).argmax(1)
    y[has_outlier, which[has_outlier]] += theta["s_out"] * random.normal(size=has_outlier.sum())
    pivot, scale = PIVOTS[values.parameter], SCALES[values.parameter]
    return replace(values, value=np.where(there > 0, pivot + scale * y, np.nan)), pivot + scale * x

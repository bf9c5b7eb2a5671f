"""Out of domain: p-values of stars like the reference are uniform, those of strange ones are small."""

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.covariance import LedoitWolf

from dtl_core.bridging import injected
from dtl_core.config import load_profile
from dtl_core.estimates import outliers
from dtl_core.estimates.outliers import SCORES, Detector, flag_rates, measure
from dtl_core.lines import ACTIVE_LINES
from dtl_core.spectra import operators
from dtl_core.synthetic import libraries, simulated_survey

STEP, PIXELS = 0.1, 200


def stars(seed, n=200):
    """Residuals, features, disagreements and grain of ordinary stars."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 5)) @ np.diag([1, 2, 3, 0.5, 0.0])  # one unit is dead
    residual = 0.01 * np.exp(0.2 * rng.normal(size=(n, 1))) * rng.normal(size=(n, PIXELS))
    grain = -5 + 0.3 * rng.normal(size=(n, 1)) + 0.1 * rng.normal(size=(n, 20))
    return residual, latent, rng.normal(size=(n, 4)) + [1, 0, 0, -2], grain, STEP


def test_ordinary_stars_are_flagged_as_often_as_the_level_says():
    rate = [np.mean(Detector(*stars(k)).p_values(*stars(100 + k))[0] <= 0.05) for k in range(20)]
    assert 0.025 < np.mean(rate) < 0.055  # Bonferroni leaves somewhat fewer


@pytest.mark.parametrize("name", SCORES)
def test_the_share_of_the_reference_that_reaches_a_score_is_uniform(name):
    def many_features(seed):
        residual, latent, *rest = stars(seed, 80)  # few stars: a reference that takes part in its own covariance shows
        return residual, np.hstack([latent, np.random.default_rng(seed).normal(size=(80, 25))]), *rest

    share = []
    for seed in range(12):
        detector = Detector(*many_features(seed))
        share.append(outliers._reached(detector.score(*many_features(500 + seed))[name], detector.reference[name]))
    share = np.concatenate(share)
    assert np.mean(share) == pytest.approx(0.5, abs=0.05) and np.mean(share <= 0.1) == pytest.approx(0.1, abs=0.04)
    assert kstest(share, "uniform").statistic < 0.08


@pytest.mark.parametrize("name", SCORES)
def test_what_is_strange_in_one_way_is_flagged_by_that(name):
    residual, latent, disagreement, grain, step = stars(1, 50)
    if name == "reconstruction":
        residual[:, 50:80] *= 5  # 3 A of 20
    elif name == "latent":
        latent = latent + [0, 0, 20, 0, 0]
    elif name == "disagreement":
        disagreement = disagreement + [0, 0, 30, 0]
    else:
        grain[:, 7] -= 3
    p, reason = Detector(*stars(0, 400)).p_values(residual, latent, disagreement, grain, step)
    assert np.all(p < 0.02) and np.mean(reason == name) > 0.9  # now and then another is as rare


def test_the_distance_of_a_reference_star_is_from_the_others_alone():
    latent = stars(3, 60)[1]
    shrunk = LedoitWolf().fit(latent)
    found = Detector._left_out(latent, shrunk)
    others = [np.delete(latent, k, 0) for k in range(60)]
    scale = np.mean((latent - latent.mean(0)) ** 2) * shrunk.shrinkage_  # of the whole set, as in the detector
    for k, own in enumerate(others):
        covariance = (1 - shrunk.shrinkage_) * np.cov(own.T, bias=True) + scale * np.eye(5)
        d = latent[k] - own.mean(0)
        assert found[k] == pytest.approx(d @ np.linalg.solve(covariance, d), rel=1e-6)


def test_the_p_value_counts_the_star_itself_and_nan_is_as_strange_as_can_be():
    strange = [value[:2].copy() for value in stars(5)[:4]]
    strange[0][0] *= 1e6
    strange[1][1] = np.nan
    p, reason = Detector(*stars(0, 99)).p_values(*strange, STEP)
    assert p == pytest.approx(4 / 100) and list(reason) == ["reconstruction", "latent"]


class Toy:
    """Two methods for stars that differ in one number, the depth of their lines; they refuse what is not a spectrum."""

    line = np.exp(-0.5 * ((np.arange(PIXELS) % 40 - 20) / 3.0) ** 2)

    def spectra(self, seed, n=100):
        rng = np.random.default_rng(seed)
        tilt = 1 + 0.05 * rng.normal(size=(n, 1)) * np.linspace(-1, 1, PIXELS)
        return tilt * (1 - rng.uniform(0.2, 0.6, (n, 1)) * self.line) + 0.005 * rng.normal(size=(n, PIXELS))

    def predict(self, flux):
        flux = np.asarray(flux, float)
        assert np.isfinite(flux).all() and np.abs(flux).max() < 1e3 and np.all(flux.mean(1) > 0)
        depth = (1 - flux) @ self.line / (self.line @ self.line)
        return np.repeat(depth[:, None], 4, 1)

    def measure(self, flux):
        usable = outliers.replace_unusable(flux)
        labels = self.predict(usable)
        return measure(flux, usable[:, 15:30:5].astype(float), 1 - labels[:, :1] * self.line, 0 * labels - 0.5, STEP)


def test_a_slow_continuum_is_taken_off_the_residual():
    model, x = 1 - 0.5 * Toy.line[None], np.linspace(-1, 1, PIXELS)
    flux = model * (1.02 + 0.1 * x - 0.03 * x**2)
    np.testing.assert_allclose(outliers._without_continuum(flux, model), 0, atol=1e-12)
    assert np.abs(outliers._without_continuum(flux + 0.05 * Toy.line, model)).max() > 0.02


def test_no_spectrum_stops_the_measurement_and_those_that_are_none_are_flagged():
    toy = Toy()
    bad = toy.spectra(1, 5)
    bad[0, 7], bad[1, 0], bad[2], bad[3] = np.nan, np.inf, 0.0, 1e30
    measured = toy.measure(bad)
    p, _ = Detector(**toy.measure(toy.spectra(0))).p_values(**measured)
    assert p[:4] == pytest.approx(4 / 101) and p[4] > 0.05
    assert np.isnan(measured["latent"][:4]).all() and np.isfinite(measured["residual"][4]).all()
    groups = {"ordinary": toy.spectra(2), "bad": bad[:4], "no lines": np.ones((3, PIXELS))}
    rates = flag_rates(toy.measure(toy.spectra(0)), {name: toy.measure(flux) for name, flux in groups.items()})
    assert rates["ordinary"] <= 0.1 and rates["bad"] == rates["no lines"] == 1.0


def test_windows_leave_no_pixel_out():
    values = np.arange(11.0)[None]
    np.testing.assert_allclose(outliers._windows(values, 4), [[1.0, 4.5, 8.5]])


# ---------------------------------------------------------------- spectra of each kind

CONFIG = load_profile("smoke", {"window.step": 0.03})
WAVE = operators.window_grid(CONFIG.window, margin=False)


@pytest.fixture(scope="module")
def strange():
    return injected.injected_set(CONFIG, 12)


@pytest.fixture(scope="module")
def survey():
    return simulated_survey.survey_set(CONFIG)


def depth(flux):
    return np.mean(1 - flux, axis=1)


def power(flux, low, high):
    """Share of the variance at periods between low and high A."""
    spectrum = np.abs(np.fft.rfft(np.diff(flux.astype(float), axis=1))) ** 2
    period = 1 / np.maximum(np.fft.rfftfreq(flux.shape[1] - 1, CONFIG.window.step), 1e-9)
    return spectrum[:, (period > low) & (period < high)].sum(1) / spectrum.sum(1)


@pytest.mark.slow
def test_injected_spectra_have_the_form_of_the_surveys_and_come_again(strange):
    assert list(strange) == list(injected.KINDS)
    again = injected.injected_set(CONFIG, 12)
    for kind, flux in strange.items():
        assert flux.shape == (12, len(WAVE)) and flux.dtype == np.float32 and np.isfinite(flux).all()
        np.testing.assert_array_equal(flux, again[kind])
    other = injected.injected_set(CONFIG, 12, seed=1)
    assert not any(np.array_equal(flux, other[kind]) for kind, flux in strange.items())


def test_hot_stars_have_shallow_lines_and_strong_ones_stay(strange, survey):
    hottest = survey[0][np.argsort(-survey[1]["teff"].to_numpy())[:28]]
    assert np.median(depth(strange["hot star"])) < 0.5 * np.median(depth(hottest))
    line = np.abs(WAVE - ACTIVE_LINES[-1]) < 0.3
    rest = np.abs(WAVE - 8820) < 3
    for flux in strange["hot star"]:
        assert 1 - flux[line].min() > 2 * np.mean(1 - flux[rest])


def correlation(flux, template):
    """Velocities, and correlation of each spectrum (n, n_pixels) with its own template there."""
    grid = operators.log_grid(WAVE[0], WAVE[-1], 0.5)
    for row, model in zip(flux, template, strict=True):
        logarithmic = [operators.resample(WAVE, x.astype(float), grid, "spline") for x in (row, model)]
        yield operators.cross_correlate(*logarithmic, 180)[0, 0]


@pytest.fixture
def quiet():
    """No noise and no differences from star to star but velocity, and the same stars as the kinds draw."""
    off = dict.fromkeys([f"survey.{name}" for name in ("noise", "velocity", "continuum", "telluric", "activity")], 0.0)
    return load_profile("smoke", {"window.step": 0.03} | off)


def made(kind, config, n=8, seed=3):
    """Spectra of one kind and the ordinary ones of the same stars."""
    truth, rows = simulated_survey.draw_truth(libraries.load_library("survey_b"), config)
    truth, rows = truth.iloc[:n].assign(vsini=2.0), rows[:n]
    rng = np.random.default_rng(seed)
    plain = simulated_survey.recorded(simulated_survey.starlight(truth, rows, config), truth, config)
    return injected.KINDS[kind](truth, rows, config, rng), plain, np.random.default_rng(seed)


def test_the_wrong_velocity_is_found_by_cross_correlation(quiet):
    flux, plain, rng = made("wrong velocity", quiet)
    wrong = rng.uniform(5, 60, 8) * rng.choice([-1, 1], 8)
    found = [0.5 * (np.argmax(c) - 180) for c in correlation(flux, plain)]
    np.testing.assert_allclose(found, wrong, atol=0.6)


def test_a_binary_has_the_second_stars_lines_at_its_velocity(quiet):
    flux, plain, rng = made("binary", quiet)
    partner, _ = rng.permutation(8), rng.uniform(0.3, 1, (8, 1))
    apart = rng.uniform(15, 80, 8) * rng.choice([-1, 1], 8)
    second = plain[partner]
    for velocity, c, alone in zip(apart, correlation(flux, second), correlation(plain, second), strict=True):
        at = round(velocity / 0.5) + 180
        rise = (c - alone)[at - 20 : at + 21]
        assert rise.max() > 0.1 and abs(np.argmax(rise) - 20) <= 4  # there more than in the first star alone


def test_the_resolution_is_really_lower(quiet):
    flux, plain, rng = made("other resolution", quiet)
    resolving = np.exp(rng.uniform(np.log(10_000), np.log(30_000), 8))
    sharp = power(plain, 0.1, 0.25)
    assert np.all(power(flux, 0.1, 0.25) < 0.5 * sharp)
    for k in range(8):  # as a Gaussian of the missing width makes it from the sharp one
        sigma = 8817.5 * np.sqrt(resolving[k] ** -2.0 - 94_600**-2.0) / operators.FWHM / 0.03
        smooth = injected.gaussian_filter1d(plain[k].astype(float), sigma)[60:-60]
        assert np.std(smooth / smooth.mean() - flux[k, 60:-60] / flux[k, 60:-60].mean()) < 0.01


def test_gaps_are_a_fifth_to_two_fifths_of_the_pixels(strange):
    straight = np.abs(np.diff(strange["gaps"].astype(float), 2, axis=1)) < 3e-7
    assert np.all((straight.mean(1) > 0.18) & (straight.mean(1) < 0.42))


def test_noise_is_noise_and_half_of_it_has_no_lines(strange, survey):
    grain = np.exp(np.median(outliers._grain(strange["noise"], 0.03), 1))
    usual = np.exp(np.median(outliers._grain(survey[0], 0.03), 1))
    assert grain.min() > 5 * usual.max()
    flat = strange["noise"][::2]
    assert abs(np.corrcoef(flat.mean(0), survey[0].mean(0))[0, 1]) < 0.15


def test_galaxies_have_no_narrow_lines_and_every_second_one_emits(strange, survey):
    assert np.all(power(strange["galaxy"], 0.2, 1.0).mean() < 0.3 * power(survey[0], 0.2, 1.0).mean())
    assert np.all(strange["galaxy"][::2].max(1) < 1.05) and np.median(np.ptp(strange["galaxy"][1::2], axis=1)) > 0.15

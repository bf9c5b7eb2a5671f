"""Systematic errors of real stars: from differences to error bars."""

import numpy as np
import pandas as pd
import pytest

from dtl_core.estimates.calibration import LEVELS
from dtl_core.models import loading, making, real_errors
from dtl_core.models.specialist import COOLEST, FASTEST, Specialist
from dtl_core.parameters import PARAMETERS

POWER = 53_000.0


def compared(**differences):
    rows = []
    for p, values in differences.items():
        for k, value in enumerate(values):
            row = {"star": f"S{k}", "parameter": p, "ours": value, "low": value - 2.0, "high": value + 1.0}
            rows.append(row | {"published": 0.0, "error": 1.0, "limit": False, "difference": value})
    return pd.DataFrame(rows)


def changed(**rms):
    return pd.DataFrame([{"parameter": p, "n": n, "rms": r} for p, pairs in rms.items() for n, r in pairs])


def test_each_spectrum_of_a_pair_has_half_of_the_variance():
    found = real_errors.instrument_errors(changed(teff=[(1, 3.0), (3, 5.0)]))
    assert found["teff"] == pytest.approx(np.sqrt((9 + 3 * 25) / 8)) and found["mh"] == 0.0


def test_systematic_errors_grow_with_the_differences_and_leave_limits_out():
    none = dict.fromkeys(PARAMETERS, 0.0)
    near, far = (real_errors.learn_systematics(compared(teff=[d, -d, d]), none)["teff"] for d in (10.0, 400.0))
    assert np.mean(far["tau"]) > 2 * np.mean(near["tau"]) and far["stars"] == ["S0", "S1", "S2"]
    table = compared(vsini=[50.0])
    table["limit"] = True
    found = real_errors.learn_systematics(table, none)["vsini"]
    assert found["stars"] == [] and np.median(found["tau"]) == pytest.approx(
        0.674 * real_errors.SCALE["vsini"], rel=0.1
    )


def test_a_difference_that_the_instrument_explains_is_not_counted_again():
    table = compared(mh=[0.3, -0.3, 0.3]).assign(error=0.0)
    table["low"], table["high"] = table["ours"] - 0.01, table["ours"] + 0.01
    small, large = ({**dict.fromkeys(PARAMETERS, 0.0), "mh": value} for value in (0.0, 0.3))
    tau = [np.mean(real_errors.learn_systematics(table, one)["mh"]["tau"]) for one in (small, large)]
    assert tau[1] < 0.6 * tau[0]


@pytest.fixture(scope="module")
def base():
    return loading.load().specialist_for(POWER)


def planted(base, **tau):
    known = {p: {"tau": [value], "instrument": 0.0, "stars": []} for p, value in tau.items()}
    return Specialist(base.arrays, base.card | {"systematics": known})


def test_bars_of_real_stars_contain_systematic_errors_and_those_of_simulated_stars_do_not(base):
    flux = making.simulated_stars(base.config, 8, [4])[0]
    wide, none = planted(base, teff=300.0), Specialist(base.arrays, base.card | {"systematics": {}})
    one, real, plain = wide.estimate(flux), wide.estimate(flux, real=True), none.estimate(flux, real=True)
    for name in ("low", "high", "median"):
        np.testing.assert_array_equal(one[name], plain[name])
    np.testing.assert_array_equal(real["median"], one["median"])
    level = LEVELS.index(0.68)
    width = real["high"][:, 0, level] - real["median"][:, 0]
    assert np.all(width >= 298) and np.all(width <= np.hypot(300, one["high"][:, 0, level] - one["median"][:, 0]))
    np.testing.assert_allclose(real["low"][:, 1:], one["low"][:, 1:], rtol=1e-12)


def test_the_posterior_of_a_real_star_contains_them_too(base):
    found, spread = np.array([3400.0, 4.9, -0.2, 10.0]), np.array([40.0, 0.03, 0.08, 0.7])
    wide = planted(base, teff=300.0, mh=0.3)
    plain, real = (wide.posterior(found, spread, n=20_000, real=real) for real in (False, True))
    np.testing.assert_allclose(real.std(0)[[0, 2]], np.hypot(plain.std(0)[[0, 2]], [300, 0.3]), rtol=0.03)
    np.testing.assert_array_equal(real[:, 1], plain[:, 1])


def test_errors_grow_with_the_noise_below_the_lowest_signal_to_noise(base):
    flux = making.simulated_stars(base.config, 4, [4])[0]
    lowest = float(base.reference["snr"].min())
    widths = []
    for snr in (lowest, lowest / 2, lowest / 4):
        found = base.estimate(flux, np.full(len(flux), snr))
        widths.append((found["high"] - found["low"])[:, :3])
        np.testing.assert_array_equal(found["found"], base.estimate(flux)["found"])
    np.testing.assert_allclose(widths[1], 2 * widths[0], rtol=1e-6)
    np.testing.assert_allclose(widths[2], 4 * widths[0], rtol=1e-6)
    np.testing.assert_array_equal(base.noisier([np.nan, 1000.0]), 1.0)
    assert (base.noisier([1.0, 0.0, -3.0]) >= lowest).all() and np.isfinite(base.noisier([0.0])).all()


def test_types_that_no_real_star_has_tested_are_flagged_with_the_reason(base):
    labels = np.array([COOLEST - 1.0, 5.1, 0.0, 5.0])
    (text,) = [w for w in base.warnings(labels, 0.5, "latent") if "M6" in w]
    assert "tested on hotter stars" in text
    labels[0] = COOLEST + 1.0
    assert not any("M6" in w for w in base.warnings(labels, 0.5, "latent"))
    labels[3] = FASTEST + 0.1
    assert any("active" in w for w in base.warnings(labels, 0.5, "latent"))

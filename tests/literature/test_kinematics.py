"""Space velocities, populations and their metallicities, against independent formulae and the published sample."""

import itertools
import sys
import types

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.stats import binom_conf_interval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dtl_core.errors import ConfigError, DataError
from dtl_core.literature import catalogues, kinematics
from dtl_core.public_data import registry

BARNARD = (269.452, 4.6934, 546.976, -801.551, 10362.394, -110.11)  # Gaia DR3 and a literature velocity


def johnson_soderblom(ra, dec, parallax, mu_ra, mu_dec, rv, errors=None):
    """U V W after Johnson & Soderblom (1987), with the J2000 pole of the Galaxy; one star, degrees, mas, km/s."""
    pole_ra, pole_dec, theta = np.radians([192.85948, 27.12825, 122.93192])
    turn = np.array([[np.cos(theta), np.sin(theta), 0], [np.sin(theta), -np.cos(theta), 0], [0, 0, 1]])
    tilt = np.array([[-np.sin(pole_dec), 0, np.cos(pole_dec)], [0, -1, 0], [np.cos(pole_dec), 0, np.sin(pole_dec)]])
    spin = np.array([[np.cos(pole_ra), np.sin(pole_ra), 0], [np.sin(pole_ra), -np.cos(pole_ra), 0], [0, 0, 1]])
    a, d = np.radians([ra, dec])
    local = np.array(
        [
            [np.cos(a) * np.cos(d), -np.sin(a), -np.cos(a) * np.sin(d)],
            [np.sin(a) * np.cos(d), np.cos(a), -np.sin(a) * np.sin(d)],
            [np.sin(d), 0, np.cos(d)],
        ]
    )
    b = turn @ tilt @ spin @ local
    k = 4.740470464
    velocity = b @ [rv, k * mu_ra / parallax, k * mu_dec / parallax]
    if errors is None:
        return velocity
    e_plx, e_ra, e_dec, e_rv = errors
    squares = [
        e_rv**2,
        (k / parallax) ** 2 * (e_ra**2 + (mu_ra * e_plx / parallax) ** 2),
        (k / parallax) ** 2 * (e_dec**2 + (mu_dec * e_plx / parallax) ** 2),
    ]
    cross = 2 * mu_ra * mu_dec * k**2 * e_plx**2 / parallax**4 * b[:, 1] * b[:, 2]
    return velocity, np.sqrt(np.maximum(b**2 @ squares + cross, 0))  # rounding can leave -1e-16 of the largest


stars = st.tuples(
    st.floats(0, 359.99),
    st.floats(-89, 89),
    st.floats(5, 700),
    st.floats(-5000, 5000),
    st.floats(-5000, 5000),
    st.floats(-200, 200),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(stars, st.tuples(st.floats(0.01, 3), st.floats(0.01, 8), st.floats(0.01, 8), st.floats(0.01, 5)))
def test_velocities_and_errors_are_those_of_johnson_and_soderblom(star, errors):
    given_errors = dict(zip(("parallax", "pm_ra_cosdec", "pm_dec", "rv"), errors, strict=True))
    velocity, error = kinematics.space_velocities(*star, errors=given_errors)
    expected, expected_error = johnson_soderblom(*star, errors)
    # the published pole is rounded to 1e-5 deg, which turns velocity and error ellipsoid by some 1e-7 rad
    np.testing.assert_allclose(velocity, expected, rtol=0, atol=1e-6 * np.linalg.norm(expected) + 1e-9)
    np.testing.assert_allclose(error, expected_error, rtol=0, atol=1e-6 * np.linalg.norm(expected_error))


def test_barnard_s_star_moves_as_in_the_literature():
    np.testing.assert_allclose(kinematics.space_velocities(*BARNARD), [-141.0, 4.6, 18.6], atol=0.6)


def test_directions_have_their_signs():
    still = dict(parallax=[100.0], pm_ra_cosdec=[0.0], pm_dec=[0.0], rv=[10.0])
    towards = {"centre": (266.40499, -28.93617), "rotation": (318.00438, 48.32964), "pole": (192.85948, 27.12825)}
    for axis, (ra, dec) in enumerate(towards.values()):
        velocity = kinematics.space_velocities([ra], [dec], **still)[:, 0]
        np.testing.assert_allclose(velocity, np.eye(3)[axis] * 10, atol=1e-3)


def test_the_local_standard_of_rest_is_a_shift():
    plain = kinematics.space_velocities(*BARNARD)
    np.testing.assert_allclose(kinematics.space_velocities(*BARNARD, lsr=True) - plain, [11.1, 12.24, 7.25], atol=1e-12)
    np.testing.assert_allclose(
        kinematics.space_velocities(*BARNARD, lsr=True, solar_motion=(1, 2, 3)) - plain, [1, 2, 3], atol=1e-12
    )


def test_quantities_in_other_units_give_the_same():
    ra, dec, parallax, mu_ra, mu_dec, rv = BARNARD
    other = kinematics.space_velocities(
        np.radians(ra) * u.rad,
        dec * u.deg,
        parallax / 1000 * u.arcsec,
        mu_ra / 1000 * u.arcsec / u.yr,
        mu_dec * u.mas / u.yr,
        rv * 1000 * u.m / u.s,
    )
    np.testing.assert_allclose(other, kinematics.space_velocities(*BARNARD), rtol=1e-9)


def test_missing_input_gives_nan_for_that_star_only():
    many = [np.repeat(value, 3) for value in BARNARD]
    many[2][1] = np.nan
    velocity = kinematics.space_velocities(*(pd.Series(value) for value in many))
    assert velocity.shape == (3, 3)
    assert np.isnan(velocity[:, 1]).all() and np.isfinite(velocity[:, [0, 2]]).all()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (2, 0.0, "'parallax': not positive; give mas"),
        (2, -1.0, "not positive"),
        (5, "fast", "'rv': not a number"),
        (0, 3 * u.km, "'ra': not a number in the right unit; give deg"),
        (3, 1 * u.mas, "'pm_ra_cosdec'"),
    ],
)
def test_bad_astrometry_is_refused(place, value, message):
    star = list(BARNARD)
    star[place] = value
    with pytest.raises(DataError, match=message):
        kinematics.space_velocities(*star)


def test_errors_of_other_quantities_are_refused():
    with pytest.raises(ConfigError, match="'distance': has no error here"):
        kinematics.space_velocities(*BARNARD, errors={"distance": 1.0})


def table_of(*rows):
    """Stars as rows of ra, dec, plx, pmra, pmdec, rv and the errors of the last four."""
    columns = ["ra", "dec", "plx", "pmra", "pmdec", "rv", "e_plx", "e_pmra", "e_pmdec", "e_rv"]
    return pd.DataFrame(rows, columns=columns).assign(karmn=[f"S{i}" for i in range(len(rows))])


def test_errors_are_the_spread_of_drawn_observations():
    sample = table_of(
        (*BARNARD, 8.0, 40.0, 60.0, 0.9),
        (120.0, -35.0, 40.0, 300.0, -800.0, 25.0, 0.6, 5.0, 9.0, 0.4),
        (10.0, 60.0, 90.0, -20.0, 5.0, -50.0, 0.5, 4.0, 4.0, 2.0),
    )
    found = kinematics.space_velocities_with_errors(sample)
    rng, n = np.random.default_rng(5), 40_000
    for star, row in zip(sample.itertuples(), found.itertuples(), strict=True):
        drawn = [rng.normal(getattr(star, c), getattr(star, f"e_{c}"), n) for c in ("plx", "pmra", "pmdec", "rv")]
        velocity = kinematics.space_velocities(np.full(n, star.ra), np.full(n, star.dec), *drawn)
        np.testing.assert_allclose([row.e_U, row.e_V, row.e_W], velocity.std(axis=1), rtol=0.03)
        np.testing.assert_allclose([row.U, row.V, row.W], velocity.mean(axis=1), atol=0.2)


def test_a_star_without_an_error_has_a_velocity_but_no_error():
    whole = (*BARNARD, 0.03, 0.03, 0.04, 0.1)
    sample = table_of(whole, (*whole[:9], np.nan), (*whole[:2], np.nan, *whole[3:]))
    found = kinematics.space_velocities_with_errors(sample)
    assert found.karmn.tolist() == ["S0", "S1", "S2"]
    assert found.U.notna().tolist() == [True, True, False] and found.e_U.notna().tolist() == [True, False, False]
    with pytest.raises(DataError, match="'e_rv': no such column"):
        kinematics.space_velocities_with_errors(table_of(whole).drop(columns="e_rv"))


velocities = st.tuples(*[st.floats(-400, 400)] * 3)


@settings(max_examples=60, deadline=None)
@given(velocities)
def test_probabilities_add_up_and_match_the_normal_densities(velocity):
    found = kinematics.population_probabilities(*velocity, lsr=True)
    assert found["D"] + found["TD"] + found["H"] == pytest.approx(1)

    def density(fraction, sigma, drift):
        return fraction * np.prod(stats.norm.pdf(velocity, [0, drift, 0], sigma))

    thin, thick = density(0.94, (35, 20, 16), -15), density(0.06, (67, 38, 35), -46)
    if thin > 1e-200 and thick > 1e-200:
        assert found["td_d"] == pytest.approx(thick / thin, rel=1e-9)


def test_heliocentric_velocities_get_the_solar_motion():
    helio = kinematics.population_probabilities(-20.0, -30.0, 5.0)["td_d"]
    assert helio == kinematics.population_probabilities(-20 + 11.1, -30 + 12.24, 5 + 7.25, lsr=True)["td_d"]
    doubled = kinematics.population_probabilities(-20.0, -30.0, 5.0, fractions={"TD": 0.12})["td_d"]
    assert doubled == pytest.approx(2 * helio)


@pytest.mark.parametrize(
    ("velocity", "label"),
    [
        ((-11.1, -27.24, -7.25), "YD"),  # at the thin disc's own mean, inside Leggett's box
        ((60.0, -20.0, 0.0), "D"),
        ((20.5, -15.0, -5.0), "D"),
        ((19.5, -15.0, -5.0), "YD"),  # on either side of U = 20
        ((0.0, -75.0, 20.0), "TD-D"),
        ((0.0, -160.0, 0.0), "TD"),
        ((0.0, -20.0, 100.0), "TD"),
        ((300.0, -250.0, 0.0), "TD"),
        ((1500.0, 1500.0, 1500.0), "TD"),
        ((np.nan, 0.0, 0.0), ""),
    ],
)
def test_labels_of_single_velocities(velocity, label):
    assert kinematics.population(*velocity) == label
    shifted = [v + s for v, s in zip(velocity, kinematics.SOLAR_MOTION, strict=True)]
    assert kinematics.population(*shifted, lsr=True) == label


def test_far_from_every_component_the_faster_one_wins():
    fast = kinematics.population_probabilities(0.0, 3000.0, 0.0)
    assert fast["H"] == pytest.approx(1) and np.isinf(fast["td_d"])
    limits = kinematics.population([0.0], [-75.0], [20.0], limits=(0.01, 0.02))
    assert limits.tolist() == ["TD"]


def test_drawn_velocities_have_bensby_s_means_and_dispersions():
    drawn, names = kinematics.draw_velocities(40_000, seed=3, fractions={"TD": 0.94})
    lsr = drawn + np.reshape(kinematics.SOLAR_MOTION, (3, 1))
    for name in ("D", "TD"):
        _, sigma, drift = kinematics.COMPONENTS[name]
        sample = lsr[:, names == name]
        error = np.array(sigma) / np.sqrt(sample.shape[1])
        np.testing.assert_array_less(np.abs(sample.mean(axis=1) - [0, drift, 0]), 4 * error)
        np.testing.assert_allclose(sample.std(axis=1), sigma, rtol=0.03)
    assert (names == "TD").mean() == pytest.approx(0.5, abs=0.02)
    again, _ = kinematics.draw_velocities(40_000, seed=3, fractions={"TD": 0.94})
    assert np.array_equal(drawn, again)
    thick = kinematics.population(*drawn)[names == "TD"] == "TD"
    assert thick.mean() > 10 * (kinematics.population(*drawn)[names == "D"] == "TD").mean()


def test_metallicities_of_two_different_populations():
    rng = np.random.default_rng(1)
    mh = np.r_[rng.normal(0, 0.1, 100), rng.normal(-0.4, 0.1, 40), np.nan, -0.2]
    pop = np.array(["D"] * 100 + ["TD"] * 40 + ["D"] + ["TD-D"])
    summary, tests = kinematics.metallicity_by_population(mh, pop)
    assert summary["pop"].tolist() == ["D", "TD-D", "TD"] and summary.N.tolist() == [100, 1, 40]
    assert summary.set_index("pop").loc["TD", "median"] == np.median(mh[100:140])
    assert np.isnan(summary["std"][1])
    assert [tuple(pair) for pair in tests[["pop1", "pop2"]].to_numpy()] == list(
        itertools.combinations(["D", "TD-D", "TD"], 2)
    )
    separate = tests.set_index(["pop1", "pop2"]).loc[("D", "TD")]
    assert separate.p < 1e-15 and separate.KS_D > 0.9


def test_metallicities_without_stars_are_empty():
    summary, tests = kinematics.metallicity_by_population([0.1], ["halo"])
    assert summary.empty and tests.empty and list(tests.columns) == ["pop1", "pop2", "KS_D", "p", "p_untied"]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_ks_does_not_change_when_all_metallicities_shift(seed):
    rng = np.random.default_rng(seed)
    mh, pop = rng.normal(0, 0.2, 60), np.repeat(["D", "TD"], 30)
    one, two = (kinematics.metallicity_by_population(values, pop)[1] for values in (mh, mh * 2 + 3))
    assert one.p[0] == two.p[0]


def test_equal_metallicities_make_the_ordinary_p_too_large():
    rng = np.random.default_rng(2)
    mh = np.r_[rng.normal(0, 0.15, 60), rng.normal(-0.1, 0.15, 30)].round(1)
    row = kinematics.metallicity_by_population(mh, np.repeat(["D", "TD"], [60, 30]))[1].iloc[0]
    assert row.p < 0.9 * row.p_untied
    fine = kinematics.metallicity_by_population(rng.normal(size=90), np.repeat(["D", "TD"], [60, 30]))[1].iloc[0]
    assert fine.p == pytest.approx(fine.p_untied, rel=1e-9)


def test_populations_follow_the_adopted_solar_motion():
    """A star that is thick disc with one motion only, one that is thin disc with one only, one that none changes."""
    U, V, W = np.array([20.0, 20.0, -20.0]), np.array([-98.0, -66.0, -15.0]), np.array([5.0, 5.0, 0.0])
    motions = {"a": (10.0, 15.0, 7.0), "b": (10.0, 0.0, 7.0)}
    labels = {name: kinematics.population(U, V, W, solar_motion=motion) for name, motion in motions.items()}
    assert labels["a"].tolist() == ["TD-D", "D", "YD"] and labels["b"].tolist() == ["TD", "TD-D", "YD"]
    table = kinematics.populations_by_solar_motion(U, V, W, [0.1, -0.2, 0.0], motions)
    assert table["changed"].tolist() == [0, 2] and table["changed_thick"].tolist() == [0, 1]
    for name in motions:
        assert {p: int(table.loc[name, p]) for p in kinematics.POPULATIONS} == {
            p: int((labels[name] == p).sum()) for p in kinematics.POPULATIONS
        }
    assert np.isnan(table["p"]).all()


def test_metallicities_by_solar_motion_are_those_of_its_labels():
    (U, V, W), _ = kinematics.draw_velocities(300, seed=6, fractions={"TD": 0.5})
    mh = np.random.default_rng(6).normal(0, 0.2, 300)
    table = kinematics.populations_by_solar_motion(U, V, W, mh)
    assert list(table.index) == list(kinematics.SOLAR_MOTIONS) and table["changed"].iloc[0] == 0
    assert table["changed"].iloc[1:].max() > 0
    for name, motion in kinematics.SOLAR_MOTIONS.items():
        labels = kinematics.population(U, V, W, solar_motion=motion)
        assert table.loc[name, "median_TD"] == np.median(mh[labels == "TD"])
        assert table.loc[name, "p"] == kinematics.ks_test(mh[labels == "D"], mh[labels == "TD"])[1]


def test_sentences_follow_the_numbers_of_the_solar_motions():
    table = pd.DataFrame({"YD": 1, "D": 50, "TD-D": 2, "TD": 7, "changed": [0, 9], "changed_thick": [0, 3]})
    table = table.assign(median_D=0.0, median_TD=[-0.2, 0.1], p=[0.01, 0.20])
    labels, metals = kinematics.solar_motion_sentences(table)
    assert "up to 9 of 60 stars" in labels and " 3 of them" in labels
    assert "with 1 of 2" in metals and "0.01 to 0.2" in metals and "either side" in metals
    assert "one side" in kinematics.solar_motion_sentences(table.assign(p=0.3))[1]


def test_luminosity_of_the_sun_and_of_a_dwarf():
    assert kinematics.main_sequence_luminosity(5772, 4.438) == pytest.approx(1)
    teff, logg = np.array([3000.0, 3600.0]), np.array([5.1, 4.8])
    found = kinematics.main_sequence_luminosity(teff, logg)
    radius = np.sqrt(found) / (teff / 5772) ** 2
    np.testing.assert_allclose(4.438 + np.log10(radius / radius**2), logg)  # g = M / R^2 with M = R
    assert kinematics.main_sequence_luminosity(3200, 4.6) > kinematics.main_sequence_luminosity(3200, 4.9)


def test_excess_is_measured_from_the_sequence_of_the_reference():
    teff = np.linspace(3000, 4200, 60)
    sequence = 10 ** (-1.8 + 9 * np.log10(teff / 3500) - 5 * np.log10(teff / 3500) ** 2)
    luminosity = sequence.copy()
    luminosity[5], luminosity[30], luminosity[50] = sequence[5] * 10, sequence[30] * 0.5, np.nan
    excess = kinematics.luminosity_excess(teff, luminosity, np.ones(60, bool))  # outliers are left out of the fit
    assert excess[5] == pytest.approx(1, abs=1e-6) and excess[30] == pytest.approx(np.log10(0.5), abs=1e-6)
    assert np.isnan(excess[50]) and np.abs(np.delete(excess, [5, 30, 50])).max() < 1e-6
    with pytest.raises(DataError, match="only 4 reference stars"):
        kinematics.luminosity_excess(teff, luminosity, np.arange(60) < 4)


def test_confusion_counts_pairs_in_the_given_order():
    table = kinematics.confusion(["TD", "D", "D", "", "D", "YD"], ["TD", "TD", "D", "D", "", "H"])
    assert table.index.tolist() == ["YD", "D", "TD"] and table.columns.tolist() == ["D", "TD", "H"]
    assert table.to_numpy().tolist() == [[0, 0, 1], [1, 1, 0], [0, 1, 0]]
    assert kinematics.confusion([""], ["D"]).empty


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(["YD", "D", "TD-D", "TD", ""])] * 2), min_size=1))
def test_confusion_transposes_with_its_arguments(pairs):
    one, two = zip(*pairs, strict=True)
    table = kinematics.confusion(one, two)
    pd.testing.assert_frame_equal(table, kinematics.confusion(two, one).T, check_names=False)
    assert table.to_numpy().sum() == sum(bool(a and b) for a, b in pairs)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_of_fractions_are_wilson_s(counts):
    k, n = counts
    row = kinematics.activity_fractions(np.arange(n) < k, np.zeros(n), [0, 1]).iloc[0]
    expected = binom_conf_interval(k, n, confidence_level=stats.norm.cdf(1) - stats.norm.cdf(-1), interval="wilson")
    np.testing.assert_allclose([row.lower, row.upper], np.clip(expected, 0, 1), atol=1e-9)
    assert row.fraction == k / n and row.lower <= row.fraction + 1e-12 and row.fraction <= row.upper + 1e-12


def test_bins_of_fractions_hold_their_lower_edge():
    table = kinematics.activity_fractions([1, 0, 1, 1, 0], [0.0, 1.0, 1.5, np.nan, 3.0], [0, 1, 2, 3], ["a", "b", "c"])
    assert table.bin.tolist() == ["a", "b", "c"]
    assert table.N.tolist() == [1, 2, 0] and table.active.tolist() == [1, 1, 0]
    assert np.isnan(table.fraction[2]) and np.isnan(table.lower[2])
    for edges, names in (([1, 0], None), ([0], None), ([0, 1], ["a", "b"])):
        with pytest.raises(ConfigError, match="'edges'"):
            kinematics.activity_fractions([True], [0.5], edges, names)


def members(**change):
    given_stars = table_of(*[(*BARNARD, 0.03, 0.03, 0.04, 0.1)] * 4)
    return given_stars.assign(
        **{
            "banyan_best_ya": ["BPMG", "ARG", "UMA", "HYA"],
            "banyan_best_ya_prob": [0.99, 0.81, 0.4, 0.8],
            "ymg_ix": "",
            "schw19_young_extra": [False, False, True, False],
        }
        | change
    )


def test_members_are_the_probable_ones_and_those_of_schw19():
    table, source = kinematics.associations(members(), compute=False)
    assert table.karmn.tolist() == ["S0", "S1", "S2"] and source == "published memberships"
    assert table.schw19.tolist() == [False, False, True]
    assert kinematics.associations(members(), compute=False, threshold=0.95)[0].karmn.tolist() == ["S0", "S2"]
    with pytest.raises(DataError, match="'ymg_ix'"):
        kinematics.associations(members().drop(columns="ymg_ix"))


def test_banyan_sigma_runs_where_it_is_installed(monkeypatch):
    calls = []

    def membership_probability(**inputs):
        calls.append(inputs)
        known = np.full(len(inputs["ra"]), 0.9 if inputs.get("use_rv") else 0.1)
        return pd.DataFrame({("Global", "BEST_YA"): "TWA", ("Global", "YA_PROB"): known})

    fake = types.ModuleType("banyan_sigma")
    fake.membership_probability = membership_probability
    fake.__spec__ = types.SimpleNamespace(name="banyan_sigma")
    monkeypatch.setitem(sys.modules, "banyan_sigma", fake)
    table, source = kinematics.associations(members(e_rv=[0.1, np.nan, 0.1, 0.1]))
    assert source == "BANYAN Sigma, run here" and set(table.association) == {"TWA"}
    assert table.karmn.tolist() == ["S0", "S2", "S3"]  # not S1, whose velocity has no error
    assert len(calls) == 2 and sorted(len(c["ra"]) for c in calls) == [1, 3]
    assert all("use_plx" in c and ("rv" in c) == ("use_rv" in c) for c in calls)


def test_banyan_sigma_is_named_where_it_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "banyan_sigma", None)
    with pytest.raises(ConfigError, match="'banyan_sigma': is not installed"):
        kinematics.associations(members(), compute=True)


# --- the published sample ---


@pytest.mark.data
def test_space_velocities_of_the_286_stars():
    sample = catalogues.read_stars()
    velocity = kinematics.space_velocities(*(sample[c] for c in ("ra", "dec", "plx", "pmra", "pmdec", "rv")))
    expected = sample[["U", "V", "W"]].to_numpy().T
    np.testing.assert_allclose(velocity, expected, rtol=0, atol=1e-9)  # the same convention: heliocentric, U inwards
    assert np.isfinite(velocity).all(axis=0).sum() == 285  # one star has no parallax
    lsr = kinematics.space_velocities(*(sample[c] for c in ("ra", "dec", "plx", "pmra", "pmdec", "rv")), lsr=True)
    np.testing.assert_allclose(np.linalg.norm(lsr, axis=0), sample.v_tot_lsr, atol=1e-9)
    ratio = kinematics.population_probabilities(*velocity)["td_d"]
    np.testing.assert_allclose(ratio, sample.td_d_bensby, rtol=1e-9)


@pytest.mark.data
def test_populations_agree_with_those_of_marfil():
    sample = catalogues.read_stars()
    label = kinematics.population(sample.U, sample.V, sample.W)
    table = pd.crosstab(label, sample["pop"])
    assert table.loc["TD", ["D", "YD", "TD-D"]].sum() == 0  # what we call thick disc, they do too: our cut is stricter
    assert table.loc["YD", "YD"] == 79 and table.loc["TD", "TD"] == 9
    assert (label == sample["pop"]).mean() > 0.8


@pytest.mark.data
def test_metallicity_by_population_is_the_reference():
    folder = registry.data_mirror() / "reference"
    joined = catalogues.read_published().merge(catalogues.read_stars()[["karmn", "pop"]], on="karmn")
    summary, tests = kinematics.metallicity_by_population(joined.mh, joined["pop"])
    expected = pd.read_csv(folder / "population_stats.csv")
    pd.testing.assert_frame_equal(summary, expected, check_dtype=False, rtol=1e-12)
    found = {frozenset(row[:2]): row[2:] for row in tests.itertuples(index=False, name=None)}
    for row in pd.read_csv(folder / "population_ks.csv").itertuples(index=False, name=None):
        np.testing.assert_allclose(found[frozenset(row[:2])], [*row[2:], row[3]], rtol=1e-10)  # no two values are equal
    assert round(found[frozenset(("D", "TD"))][1], 4) == 0.0071


@pytest.mark.data
def test_active_stars_lie_above_the_sequence_and_the_thick_disc_below():
    joined = catalogues.read_published().merge(catalogues.read_stars().drop(columns=["ra", "dec"]), on="karmn")
    thin = ~joined.ha_active & (joined["pop"] == "D")
    excess = kinematics.luminosity_excess(joined.teff, joined.lbol, thin)
    assert np.median(excess[joined.ha_active]) > 0.15 and np.median(excess[joined["pop"] == "TD"]) < -0.15


@pytest.mark.data
def test_how_good_the_main_sequence_luminosity_is():
    """The numbers in its docstring: with log g from measured masses and radii."""
    sample = catalogues.read_stars().dropna(subset=["mass", "radius", "teff_vosa"])
    logg = 4.438 + np.log10(sample.mass / sample.radius**2)
    offset = np.log10(kinematics.main_sequence_luminosity(sample.teff_vosa, logg) / sample.lbol)
    assert len(sample) == 280
    assert offset.mean() == pytest.approx(0.02, abs=0.005) and offset.std() == pytest.approx(0.08, abs=0.005)
    assert (sample.mass / sample.radius).mean() == pytest.approx(0.98, abs=0.005)


@pytest.mark.data
def test_velocities_with_errors_of_the_sample():
    sample = catalogues.read_stars()
    found = kinematics.space_velocities_with_errors(sample)
    np.testing.assert_allclose(found[["U", "V", "W"]], sample[["U", "V", "W"]], rtol=0, atol=1e-9)
    errors = found[["e_U", "e_V", "e_W"]]
    assert errors.notna().all(axis=1).sum() == 283  # two more have no error of the radial velocity
    np.testing.assert_allclose(errors.median(), [0.090, 0.095, 0.100], atol=0.001)
    total = np.sqrt((errors**2).sum(axis=1, skipna=False)).dropna()
    assert (total >= sample.loc[total.index, "e_rv"]).all()  # the velocity's error is all in there


@pytest.mark.data
def test_confusion_with_the_labels_of_marfil():
    sample = catalogues.read_stars()
    table = kinematics.confusion(kinematics.population(sample.U, sample.V, sample.W), sample["pop"])
    assert table.index.tolist() == table.columns.tolist() == ["YD", "D", "TD-D", "TD"]
    assert table.to_numpy().tolist() == [[79, 21, 0, 0], [6, 131, 0, 0], [0, 14, 13, 12], [0, 0, 0, 9]]
    assert sample["pop"].value_counts().to_dict() == {"D": 167, "YD": 85, "TD": 21, "TD-D": 13}


@pytest.mark.data
def test_activity_rises_with_spectral_type_and_rotation():
    sample = catalogues.read_stars().merge(catalogues.read_published()[["karmn", "vsini"]], on="karmn")
    types = kinematics.activity_fractions(sample.ha_active, sample.spt_num - 70, range(7))
    assert types.N.tolist() == [28, 43, 47, 84, 69, 14]  # and one K7
    assert types.active.tolist() == [1, 4, 7, 12, 26, 6] and types.active.sum() == sample.ha_active.sum()
    speeds = kinematics.activity_fractions(sample.ha_active, sample.vsini, [0, 3, 4, 6, 10, 100])
    assert speeds.N.tolist() == [209, 33, 16, 8, 20] and speeds.active.tolist() == [5, 8, 15, 8, 20]
    assert speeds.lower.iloc[-1] > 0.9 and speeds.upper.iloc[0] < 0.05


@pytest.mark.data
def test_young_stars_of_the_sample():
    table, _ = kinematics.associations(catalogues.read_stars(), compute=False)
    probable = table[table.probability > 0.8]
    assert len(probable) == 9 and (table.probability > 0.95).sum() == 7
    assert probable.association.value_counts().to_dict() == {"ABDMG": 3, "BPMG": 3, "ARG": 3}
    assert set(table.karmn[table.schw19]) == {"J09133+688", "J12156+526", "J15218+209", "J18174+483"}


@pytest.mark.data
def test_solar_motions_move_few_stars_of_the_sample():
    joined = catalogues.read_published().merge(catalogues.read_stars()[["karmn", "U", "V", "W"]], on="karmn")
    table = kinematics.populations_by_solar_motion(joined.U, joined.V, joined.W, joined.mh)
    assert table["TD"].tolist() == [9, 9, 9, 11, 11] and table["changed"].tolist() == [0, 2, 2, 11, 9]
    assert (table["median_TD"] < table["median_D"]).all() and table["p"].min() < 0.05 < table["p"].max()

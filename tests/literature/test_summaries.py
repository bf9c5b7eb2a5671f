"""Summaries of stars with known properties."""

import numpy as np
import pandas as pd
import pytest

from dtl_core.literature import isochrones, kinematics, summaries

N = 80


@pytest.fixture
def stars():
    """On the main sequence but for active stars, which are 0.4 dex brighter, and the thick disc, 0.2 dex fainter."""
    index = np.arange(N)
    teff, mh = np.linspace(3000.0, 3990.0, N), np.where(index % 4 == 3, -0.3, 0.0) + 0.001 * index
    frame = pd.DataFrame({"karmn": [f"S{k}" for k in index], "teff": teff, "mh": mh, "active": index % 10 == 0})
    frame["population"] = np.array(["D", "YD", "TD-D", "TD"])[index % 4]
    frame["logg"] = isochrones.sequence(teff, mh)["logg"] + 0.02
    shift = 0.4 * frame["active"] - 0.2 * (frame["population"] == "TD")
    frame["luminosity"] = 0.02 * (teff / 3500) ** 5 * 10**shift
    frame["vsini"] = np.where(frame["active"], 20.0, 2.0)
    return frame.assign(U=0.0, V=np.where(index < 8, -150.0, -10.0), W=0.0)


def test_gravities_are_compared_where_the_relation_is_valid(stars):
    hot = stars.iloc[:3].assign(teff=4200.0, logg=4.6)
    (row,) = summaries.gravities(pd.concat([stars, hot])).itertuples(index=False)
    assert (row.N, row.compared) == (N + 3, N) and row.median == pytest.approx(0.02) and row.std == pytest.approx(0)
    assert row[-1] == 3 + (stars["logg"] < 4.7).sum()


def test_luminosities_are_heights_above_the_inactive_thin_disc(stars):
    table = summaries.luminosities(stars).set_index("group")
    assert table.index.tolist() == ["all", "YD", "D", "TD-D", "TD", "active"] and table["N"]["all"] == N
    assert table["N"]["active"] == 8 and table["overluminous"].tolist() == [8, 0, 4, 4, 0, 8]
    np.testing.assert_allclose(table["median"][["D", "active", "TD"]], [0, 0.4, -0.2], atol=1e-9)
    without = summaries.luminosities(stars[stars["population"] != "TD"])
    assert "TD" not in set(without["group"])


def test_activity_is_by_type_where_it_is_known(stars):
    table = summaries.activity(stars)
    assert table["quantity"].unique().tolist() == ["temperature [K]", "v sin i [km/s]"]
    assert table.groupby("quantity")["active"].sum().tolist() == [8, 8]
    table = summaries.activity(stars.assign(spt_num=np.where(stars["active"], 74, 71))).set_index("bin")
    assert table["N"]["M4"] == 8 and table["fraction"]["M4"] == 1 and table["fraction"]["M1"] == 0


def test_velocities_have_errors_where_they_are_known(stars):
    table = summaries.velocities(stars).set_index("velocity")
    assert table["median"].tolist() == [0, -10, 0] and table["min"]["V"] == -150 and table["median_error"].isna().all()
    known = stars.assign(e_U=0.1, e_V=0.2, e_W=0.3, U=stars["U"].where(stars.index > 0))
    table = summaries.velocities(known)
    assert table["N"].tolist() == [N - 1, N, N] and table["median_error"].tolist() == [0.1, 0.2, 0.3]


def test_confusion_takes_what_velocities_were_drawn_from(stars):
    table = summaries.confusion(stars).set_index("computed")
    assert table.columns.tolist() == ["YD", "D", "TD-D", "TD"] and table.loc["TD"].tolist() == [2, 2, 2, 2]
    table = summaries.confusion(stars.assign(drawn=np.where(stars.index < 8, "TD", "D"))).set_index("computed")
    assert table.loc["TD", "TD"] == 8 and table["D"].sum() == N - 8


def test_metallicities_and_motions_are_those_of_kinematics(stars):
    summary, tests = kinematics.metallicity_by_population(stars["mh"], stars["population"])
    pd.testing.assert_frame_equal(summaries.metallicities(stars), summary)
    pd.testing.assert_frame_equal(summaries.metallicity_tests(stars), tests)
    motions = summaries.solar_motions(stars)
    assert motions["solar_motion"].tolist() == list(kinematics.SOLAR_MOTIONS) and (motions["TD"] == 8).all()


def test_young_stars_are_counted_by_association(stars):
    named = {"karmn": ["S0", "S1", "S10", "S2"], "association": ["BPMG", "ARG", "BPMG", "ARG"]}
    members = pd.DataFrame(named | {"probability": [0.99, 0.9, 0.85, 0.1], "schw19": [False, False, False, True]})
    table = summaries.associations(members)
    assert table.to_numpy().tolist() == [["ARG", 1, 0], ["BPMG", 2, 1], ["literature only", 1, 0]]
    table = summaries.young_and_poor(stars.assign(subdwarf_like=stars["karmn"].isin(["S3", "S7"])), members)
    young, poor = table.itertuples(index=False)
    assert (young.group, young.N, young.active) == ("young", 4, 2) and (poor.N, poor.active) == (2, 0)
    assert poor.excess == pytest.approx(-0.2) and poor.mh == pytest.approx(-0.295) and young.vsini == 11
    assert young.teff == stars["teff"][[0, 1, 2, 10]].median()


def test_colours_are_medians_in_bins_of_enough_stars(stars):
    rng = np.random.default_rng(1)
    known = stars.assign(teff=3050.0 + 100 * (stars.index % 4 == 0), rp_mag=8.0, bp_mag=11 + rng.normal(0, 0.1, N))
    known = known.assign(j_mag=7.0, g_mag=known["bp_mag"] - 1)
    known.loc[known.index[:4], "j_mag"] = np.nan
    table = summaries.colours(known)
    assert table[["low", "high", "N"]].to_numpy().tolist() == [[3000, 3100, 57], [3100, 3200, 19]]
    first = known["bp_mag"][(known["teff"] < 3100) & known["j_mag"].notna()]
    assert table["bp_rp"][0] == first.median() - 8 and table["g_j"][0] == pytest.approx(first.median() - 8)
    np.testing.assert_allclose(table[["scatter_bp_rp", "scatter_g_j"]], 0.1, rtol=0.3)
    assert len(summaries.colours(known[(known["teff"] < 3100) | (known.index >= N - 16)])) == 1  # the other bin: four

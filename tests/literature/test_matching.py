"""Who is where: stars matched by identifier, and checked on the sky."""

import numpy as np
import pandas as pd
import pytest
from published import REFERENCE_NAMES, STARS

from dtl_core.errors import DataError
from dtl_core.literature import catalogues, matching
from dtl_core.public_data import registry


def test_the_report_says_who_is_missing_where(mirror):
    path = mirror / "pass18.csv"
    frame = pd.read_csv(path)
    frame.loc[1, "[Fe/H]"] = np.nan
    frame.loc[5, "Karmn"] = "J22565+165N "
    frame.drop(index=0).to_csv(path, index=False)
    report = matching.match_report(sources=["Pass18", "Mar21", "FGK+M"]).set_index("karmn")
    assert report.Pass18.tolist() == ["missing", "no value: mh", *["present"] * 3, "missing"]
    assert (report.Mar21 == "present").all()  # backwards, one star under another name
    assert (report["FGK+M"] == "present").sum() == 2
    summary = matching.match_summary(sources=["Pass18", "FGK+M"]).set_index(["source", "parameter"])
    assert summary.loc[("Pass18", "mh"), ["N", "no_value", "missing"]].tolist() == [3, 1, 2]
    assert summary.loc[("Pass18", "mh"), "why"] == (
        "2 not in the table: J00051+457, J22565+165; of J22565+165 the table lists J22565+165N; "
        "1 in the table without a value: J00067-075"
    )
    assert summary.loc[("any source", "mh"), ["N", "missing"]].tolist() == [5, 1]
    assert summary.loc[("any source", "teff"), "why"] == "2 in no source: J00051+457, J22565+165"


def test_the_report_does_not_look_at_row_order(mirror):
    ours = catalogues.read_published()
    sources = {name: catalogues.read_literature(name) for name in ("Pass18", "Mar21", "Interferometric")}
    shuffled = {name: frame.sample(frac=1, random_state=1) for name, frame in sources.items()}
    pd.testing.assert_frame_equal(matching.match_report(ours, sources), matching.match_report(ours, shuffled))
    pd.testing.assert_frame_equal(matching.match_summary(ours, sources), matching.match_summary(ours, shuffled))
    turned = matching.match_report(ours.iloc[::-1], sources)
    assert turned.karmn.tolist() == STARS[::-1] and turned.iloc[-1].Pass18 == "present"
    twice = {"a": pd.concat([ours, ours.assign(karmn=ours.karmn + " ")])}
    with pytest.raises(DataError, match="star J00051[+]457 is there twice"):
        matching.match_report(ours, twice)


# --- the published numbers ---


@pytest.mark.data
def test_the_summary_counts_as_the_reference_does():
    reference = pd.read_csv(registry.data_mirror() / "reference" / "reference_stats.csv")
    reference = reference[reference.subset == "all"]
    names = reference.source.replace(REFERENCE_NAMES), reference.parameter.replace({"Teff": "teff", "[M/H]": "mh"})
    expected = dict(zip(zip(*names, strict=True), reference.N, strict=True))
    summary = matching.match_summary().set_index(["source", "parameter"])
    assert (summary[["N", "no_value", "missing"]].sum(axis=1) == 286).all()
    assert (summary.loc["any source", "N"] == 286).all() and len(summary.loc["any source"]) == 4
    assert summary.drop("any source", level="source").N.to_dict() == expected
    why = summary.why.xs("teff", level="parameter")
    assert why["Pass18"] == "56 not in the table; of J20556-140S the table lists J20556-140N"
    assert why["Bello23"] == "3 not in the table: J17364+683, J18427+596N, J18427+596S"
    assert why["Pass19 VIS"].startswith("4 not in the table: J04153-076, J17364+683, J18427+596N, J18427+596S; 7 in")


@pytest.mark.data
def test_stars_lie_where_they_are_matched_but_for_four_positions():
    found = matching.check_positions()
    assert found.source.value_counts().to_dict() == {
        "Mar21": 286,
        "Schw19": 278,
        "Gaidos14": 266,
        "Mann15": 97,
        "GM14": 92,
    }
    wrong = found[found.mismatch].set_index(["source", "karmn"])
    assert wrong["where"].to_dict() == {  # three positions of Mar21 contradict the very identifier beside them
        ("Mar21", "J05033-173"): "source",
        ("Mar21", "J07386-212"): "source",
        ("Mar21", "J17355+616"): "source",
        ("Schw19", "J07319+362N"): "neither",
    }  # the other component's, 38 arcsec away
    good = found[~found.mismatch]
    assert good.separation.max() < 4 and good.separation.median() < 0.05 and good.unmoved.max() > 160
    with pytest.raises(DataError, match="the table has no positions; check another source"):
        catalogues.read_positions("Pass18")
    for karmn, other in (("J05033-173", "Schw19"), ("J07386-212", "Schw19"), ("J17355+616", "Schw19")):
        teff = [catalogues.read_literature(name).set_index("karmn").teff[karmn] for name in ("Mar21", other)]
        assert abs(teff[0] - teff[1]) < 70  # the values are the right star's: the identifier holds, the position not


@pytest.mark.data
def test_stars_have_their_names():
    names = matching.star_names().set_index("karmn")
    assert len(names) == 286 and (names.gaia_dr3 != "").sum() == 285 and names.gaia_dr3["J18198-019"] == ""
    assert names.gaia_dr3[names.gaia_dr3 != ""].is_unique and (names.gj != "").sum() == 245
    assert names.loc["J17578+046"].tolist() == [
        "4472832130942575872",
        "GJ 699",
        names.name["J17578+046"],
        "Barnard's star",
        "Gl 699",
        "Gl 699",
    ]
    assert names.loc["J07319+362N", ["gj", "name", "simbad_schw19"]].tolist() == ["GJ 277 B", "BL Lyn", ""]
    assert (names.simbad_gm14 != "").sum() == 92 and (names.name_schw19 != "").sum() == 278

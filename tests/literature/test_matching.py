"""Published tables: positions of matched stars and their other names."""

import pytest

from dtl_core.errors import DataError
from dtl_core.literature import catalogues, matching


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

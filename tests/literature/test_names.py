"""Identifiers: one form a star, matched by a rule, checked on the sky."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.errors import DataError
from dtl_core.literature import names

COMPONENTS = ("", "N", "S", "E", "W", "A", "B", "C", "AB")
karmn = st.builds(
    "J{:02d}{:03d}{}{:03d}{}".format,
    st.integers(0, 23),
    st.integers(0, 599),
    st.sampled_from("+-"),
    st.integers(0, 899),
    st.sampled_from(COMPONENTS),
)
spaces = st.text(" \t", max_size=3)


def same_star(one, other):
    return names.normalise_karmn(one) == names.normalise_karmn(other)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("J00051+457 ", "J00051+457"),
        (" J11110+304W ", "J11110+304"),
        ("J11110+304", "J11110+304"),
        ("J11110+304E", "J11110+304E"),
        ("GJ  699", "GJ 699"),
        ("S001", "S001"),
    ],
)
def test_identifiers_are_normalised(written, expected):
    assert names.normalise_karmn(written) == expected
    assert names.normalise_karmn([written, "S002"]) == [expected, "S002"]


@settings(deadline=None)
@given(st.one_of(karmn, st.text(max_size=20)))
def test_the_form_of_a_form_is_the_form(name):
    once = names.normalise_karmn(name)
    assert names.normalise_karmn(once) == once and once == once.strip()


@settings(deadline=None)
@given(
    karmn, spaces, spaces, spaces, st.booleans(), st.sampled_from(["", "Karmn ", "KARMN"]), st.sampled_from("-\u2212")
)
def test_spaces_case_and_signs_do_not_count(name, before, inside, after, small, prefix, minus):
    written = name[:10] + inside + name[10:]
    written = before + prefix + (written.lower() if small else written).replace("-", minus) + after
    assert names.normalise_karmn(written) == names.normalise_karmn(name)


@settings(deadline=None)
@given(karmn, karmn)
def test_the_letter_counts_unless_the_table_says_otherwise(one, other):
    alias = {name: to for name, (to, _) in names.ALIASES.items()}
    assert same_star(one, other) == (alias.get(one, one) == alias.get(other, other))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("J12123+544S", "J12123+544", False),
        ("J12123+544S", "J12123+544N", False),
        ("J12123+544AB", "J12123+544A", False),
        ("J12123+544AB", "J12123+544", False),
        ("J11110+304W", "J11110+304", True),
        ("J11110+304E", "J11110+304", False),
        ("J11110+304E", "J11110+304W", False),
        ("J12123+544s ", " J12123 +544 S", True),
        ("GJ  699", "GJ 699", True),
        ("GJ 15 a", "GJ 15 A", False),
        ("J12123+5440", "J12123+544", False),
    ],
)
def test_which_two_forms_match(one, other, same):
    assert same_star(one, other) is same


def test_aliases_are_few_final_and_explained():
    assert 0 < len(names.ALIASES) < 5
    for other, (name, reason) in names.ALIASES.items():
        assert name not in names.ALIASES and names.normalise_karmn(other) == name and len(reason) > 40


def frame(stars, **columns):
    return pd.DataFrame({"karmn": stars, **columns})


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(karmn, min_size=2, max_size=8, unique_by=names.normalise_karmn), st.data())
def test_matching_does_not_look_at_row_order(stars, data):
    left = frame(stars, value=np.arange(len(stars)))
    padded = frame([f" {name.lower()} " for name in stars], value=np.arange(len(stars)) * 10)
    order = data.draw(st.permutations(range(len(stars))))
    some = data.draw(st.integers(1, len(stars)))
    expected = names.match(left, padded)
    pd.testing.assert_frame_equal(names.match(left, padded.iloc[order]), expected)
    assert (expected.value_right == 10 * expected.value).all() and len(expected) == len(stars)
    kept = padded.iloc[order[:some]]
    assert len(names.match(left, kept)) == some and len(names.match(left, kept, how="left")) == len(stars)
    assert set(names.match(left, kept).karmn) == set(names.match(kept, left).karmn)


def test_a_star_that_is_there_twice_is_refused():
    one = frame(["J00051+457", "J11110+304"])
    for other, message in (
        (frame(["J11110+304", "J11110+304W"]), "right table: field 'karmn': star J11110[+]304 is there twice"),
        (frame(["J00051+457", "j00051+457 "]), "star J00051[+]457 is there twice"),
        (frame(["J00051+457", " "]), "a star has no identifier"),
        (frame(["J00051+457", None]), "has no identifier"),
        (pd.DataFrame({"star": ["J00051+457"]}), "no such column"),
    ):
        with pytest.raises(DataError, match=message):
            names.match(one, other)
    with pytest.raises(DataError, match="left table"):
        names.match(frame(["J00051+457"] * 2), one)


@settings(deadline=None)
@given(
    st.integers(0, 23),
    st.integers(0, 599),
    st.sampled_from([1, -1]),
    st.integers(0, 889),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
)
def test_a_name_says_where_its_star_is(hour, minute, sign, tenth, east, up):
    name = f"J{hour:02d}{minute:03d}{'+' if sign > 0 else '-'}{tenth:03d}"
    ra, dec = hour * 15 + (minute + east) / 40, sign * (tenth + up) / 10
    assert names.name_agrees(name, ra, dec) and names.name_agrees(name + "AB", ra, dec)
    assert not names.name_agrees(name, (ra + 1) % 360, dec) and not names.name_agrees(name, ra, dec + 0.5)
    assert names.name_agrees([name, "GJ 699"], [ra, ra], [dec, dec]).tolist() == [True, False]


def test_positions_are_compared_at_one_epoch():
    """Barnard's star: 166 arcsec in 16 years, mostly to the north; the values are Gaia DR3's and SIMBAD's."""
    ours = frame(["J17578+046"], ra=269.44850, dec=4.739420, pmra=-801.551, pmdec=10362.394)
    found = names.position_check(ours, frame(["J17578+046 "], ra=269.452077, dec=4.693364)).iloc[0]
    assert found.separation < 0.2 and found.unmoved == pytest.approx(166.3, abs=0.2)
    assert not found.mismatch and found["where"] == ""
    then = frame(["J17578+046"], ra=269.452077, dec=4.693364)
    still = names.position_check(ours.drop(columns=["pmra", "pmdec"]), then)
    assert still.separation[0] == still.unmoved[0] and still.mismatch[0] and still["where"][0] == "neither"


def test_a_mismatch_says_which_position_contradicts_the_name():
    ours = frame(
        ["J10000+100", "J12000-200", "J14000+300", "J16000+400", "J18000+500"],
        ra=[150.01, 180.01, 215.0, 0.0, 270.0],
        dec=[10.05, -20.05, 30.05, 40.0, np.nan],
    )
    theirs = frame(
        ["J18000+500", "J16000+400", "J14000+300", "J12000-200", "J10000+100"],
        ra=[270.0, 5.0, 210.01, 190.0, 150.02],
        dec=[50.0, 40.0, 30.05, -20.05, 10.05],
    )
    found = names.position_check(ours, theirs).set_index("karmn")
    assert found["where"].to_dict() == {
        "J10000+100": "neither",
        "J12000-200": "source",
        "J14000+300": "catalogue",
        "J16000+400": "both",
    }
    assert found.separation["J10000+100"] == pytest.approx(36 * np.cos(np.radians(10.05)), rel=1e-4)
    wide = names.position_check(ours, theirs, limit=40)
    assert wide.mismatch.tolist() == [False, True, True, True] and wide["where"][0] == ""
    pd.testing.assert_frame_equal(names.position_check(ours, theirs.iloc[::-1]), found.reset_index())
    with pytest.raises(DataError, match="source: field 'dec': no such column"):
        names.position_check(ours, theirs.drop(columns="dec"))


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 359.99), st.floats(-85, 85), st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_a_star_that_only_moved_is_where_it_should_be(ra, dec, pmra, pmdec):
    years = 16 / 3.6e6
    then = frame(["J00000+000"], ra=(ra - pmra * years / np.cos(np.radians(dec))) % 360, dec=dec - pmdec * years)
    found = names.position_check(frame(["J00000+000"], ra=ra, dec=dec, pmra=pmra, pmdec=pmdec), then)
    assert found.separation[0] < 0.1

"""Log g of a spectrum beside that of relations: known errors, what the sentence says, and where it is shown."""

import numpy as np
import pytest
from astropy.table import Table

import dtl_core
from dtl_core.estimates import gravity, photometry
from dtl_core.models import exports
from dtl_core.synthetic import label_grid
from dtl_core.synthetic.examples import write_examples


def stars(n=2000, scatter=0.05):
    """Labels (n, 4) whose log g follows the survey's relation with a scatter."""
    rng = np.random.default_rng(1)
    teff, mh = rng.uniform(2900, 4300, n), rng.normal(0, 0.2, n)
    logg = label_grid.survey_logg(teff, mh) + rng.normal(0, scatter, n)
    return np.stack([teff, logg, mh, np.full(n, 3.0)], axis=1)


def test_the_error_of_a_relation_is_the_scatter_about_it():
    truth = stars()
    estimates = truth * [1, 0, 1, 1]  # the estimated log g does not matter
    found = gravity.relation_errors(estimates, truth[:, 1])
    assert list(found) == ["relation", "survey_relation"] == list(gravity.TITLES)
    assert found["survey_relation"] == pytest.approx(0.05, rel=0.05)
    assert found["relation"] > 1.3 * found["survey_relation"]  # simulated stars do not follow it
    real = label_grid.main_sequence_logg(truth[:, 0], truth[:, 2])
    assert gravity.relation_errors(estimates, real)["relation"] == 0
    # errors of Teff and [M/H] go into log g with the slopes of the relation
    shifted = gravity.relation_logg(estimates + [100, 0, 0.1, 0], label_grid.survey_logg)
    expected = gravity.relation_logg(estimates, label_grid.survey_logg) - 0.105 / 5 - 0.0235
    np.testing.assert_allclose(shifted, expected)


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([0.05], "the spectrum is better than the better relation by at most 50 %"),
        ([0.10, 0.12], "the spectrum adds nothing to Teff and [M/H]"),
        ([0.08, 0.12], "the spectrum adds nothing in some cases and at most 20 % in others"),
    ],
)
def test_the_sentence_says_whether_the_spectrum_adds_anything(errors, verdict):
    said = gravity.worth({"logg": {"rmse": e}, "relation": 0.2, "survey_relation": 0.1} for e in errors)
    assert verdict in said and said.isascii() and "\n" not in said
    assert f"rmse on simulated stars {errors[0]:.3f}" in said and "--photometry gives log g to 0.03 dex" in said
    assert ".200 dex" in said and ".100 dex" in said
    assert "rmse" not in gravity.worth([]) and "--photometry gives" in gravity.worth([])
    assert photometry.from_magnitude(7.0, mh=0.0)["e_logg"] == pytest.approx(0.03, abs=0.005)


def test_catalogues_of_every_format_say_what_log_g_is_worth(tmp_path):
    model = dtl_core.load()
    paths, _ = write_examples(tmp_path / "examples")
    table = model.predict(paths[:1])
    measured = [one.gravity_errors() for one in model.specialists]
    for one, errors in zip(model.specialists, measured, strict=True):
        assert errors["logg"]["rmse"] == one.card["figures"]["100-400"]["logg"]["rmse"]
        bare = type(one)(one.arrays, {name: value for name, value in one.card.items() if name != "figures"})
        difference = one.reference["found"][:, 1] - one.reference["truth"][:, 1]
        assert bare.gravity_errors()["logg"]["rmse"] == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-4)
        assert errors["relation"] > errors["survey_relation"] > 0.05  # the scatter of the simulated stars
    note = gravity.worth(measured)
    assert table["logg"].info.description.endswith(f"; {note}")
    assert not any(note in (table[name].info.description or "") for name in table.colnames if name != "logg")
    for suffix in (".ecsv", ".vot", ".fits"):
        written = exports.save(Table(table), tmp_path / f"stars{suffix}")
        read = Table.read(written)
        said = read["logg"].description or read.meta[f"TCOMM{read.colnames.index('logg') + 1}"]
        assert note in " ".join(said.split()), suffix  # a VOTable wraps lines


def test_parts_of_a_catalogue_keep_their_notes(tmp_path):
    part = exports.describe(Table({"star": ["a"], "logg": [4.9], "e_logg": [0.1]}), {"logg": "a note"})
    assert part["logg"].description.endswith("cgs units; a note") and "note" not in part["e_logg"].description
    for suffix in (".vot", ".ecsv", ".fits"):
        path = exports.save_parts(lambda: iter([part, part]), tmp_path / f"parts{suffix}", 2)
        read = Table.read(path)
        assert len(read) == 2
        assert "a note" in (read["logg"].description or read.meta.get("TCOMM2", "")), suffix

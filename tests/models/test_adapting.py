"""Models adapted to a survey: refused where it is too small, better and honest where it is not, kept in a file."""

import json
import warnings

import numpy as np
import pytest
from astropy.table import Table
from bounds import bounded
from click.testing import CliRunner
from toys import simulated

from dtl_core.cli import main
from dtl_core.errors import ConfigError, DataError
from dtl_core.models import adapting, loading
from dtl_core.parameters import PARAMETERS
from dtl_core.spectra.spectrum import Spectrum

pytestmark = pytest.mark.slow

POWER, N = 53_000.0, 60


def survey(seed, n=N):
    """A simulated survey that no model has seen, as spectra at rest, and its truth."""
    wavelength, flux, truth = simulated(n, seed, POWER)
    none = np.zeros(len(wavelength), bool)
    stars = [
        Spectrum(f"T{k:03d}", wavelength, one, np.full(len(one), 0.005), none, none, POWER, "test", "rest")
        for k, one in enumerate(flux)
    ]
    return stars, truth


@pytest.fixture(scope="module")
def adapted():
    """A model adapted to a survey with anchors, by a short training."""
    stars, truth = survey(901)
    anchors = {f"T{k:03d}": dict(zip(PARAMETERS[:3], truth[k, :3], strict=True)) for k in range(0, 20)}
    ticks = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapting, "N_TWINS", 2)
        model = loading.load().adapt(stars, anchors=anchors, n_spectra=1500, epochs=6, progress=lambda: ticks.append(1))
    assert len(ticks) == 3 * 6
    return model, stars, truth


def test_too_few_spectra_are_refused_and_told_why():
    stars, _ = survey(901, 20)
    with pytest.raises(DataError, match="20 spectra are too few.*30 are needed.*predict without adapting"):
        loading.load().adapt(stars)


def test_a_model_of_other_corrected_lines_is_refused():
    stars, _ = survey(901, 30)
    base = loading.load().specialist_for(POWER)
    card = base.card | {"corrections": {"stars": [], "sha256": "0" * 64}}
    with pytest.raises(ConfigError, match="corrected by another table"):
        loading.Model([type(base)(base.arrays, card)], "mine").adapt(stars)


def test_an_adapted_model_beats_the_one_it_came_from(adapted):
    model, stars, truth = adapted
    (one,), base = model.specialists, loading.load().specialist_for(POWER)
    flux = np.stack([model.prepare(star)[1] for star in stars[20:]])
    errors = [np.sqrt(np.mean((s.estimate(flux)["median"] - truth[20:]) ** 2, 0)) for s in (one, base)]
    bounded("errors over those before", np.mean(errors[0] / errors[1]), below=0.96)  # even after so short a training
    for name, error, bound in zip(PARAMETERS, errors[0], (90, 0.09, 0.15), strict=False):
        bounded(f"error of {name}", error, below=bound)


def test_its_errors_hold(adapted):
    model, stars, truth = adapted
    found = model.examine([model.prepare(star) for star in stars[20:]])
    low, high = (np.array([getattr(one, side)[:, 1] for one in found]) for side in ("low", "high"))
    inside = ((truth[20:] >= low) & (truth[20:] <= high)).mean()
    bounded("coverage", inside, above=0.5, below=0.9)  # of 160 values, not independent, and two twins only
    assert {one.method for one in found} == {"combined"}


def test_an_adapted_model_is_saved_used_and_not_adapted_again(adapted, tmp_path):
    model, stars, _ = adapted
    model.save(tmp_path / "own")
    again = loading.load(tmp_path / "own")
    first, second = (one.predict(stars[:3]) for one in (model, again))
    np.testing.assert_array_equal(first["Teff"].value, second["Teff"].value)
    card = again.specialists[0].card
    assert card["adapted_to"] == {"spectra": N, "anchors": {"teff": 20, "logg": 20, "mh": 20}}
    seen = {star.star for star in stars} | set(loading.load().specialist_for(POWER).seen)
    assert set(card["real_stars"]) == seen == set(again.seen)  # it must not be judged by them
    assert "figures" not in card  # those were another model's
    with pytest.raises(ConfigError, match="of the method combined"):
        again.adapt(stars)


def test_anchor_stars_are_found_by_name_and_others_refused(tmp_path):
    stars, _ = survey(901, 31)
    with pytest.raises(DataError, match="none of the anchor stars.*such as T000"):
        loading.load().adapt(stars, anchors={"GJ 699": {"teff": 3250.0}})
    rows = adapting._rows({"t 001": {"teff": 3000.0}, "T003": {"mh": 0.1, "teff": 3300.0}}, ["T001", "T002", "T003"])
    assert rows["teff"][0].tolist() == [0, 2] and rows["mh"][1].tolist() == [0.1] and set(rows) == {"teff", "mh"}


def test_tables_of_anchors_are_read_and_broken_ones_refused(tmp_path):
    table = Table({"Star": ["A", "B"], "Teff": [3300.0, np.nan], "[M/H]": [0.1, -0.2], "other": ["x", "y"]})
    for name in ("a.ecsv", "a.csv", "a.fits", "a.vot"):
        kind = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "vot": "votable"}.get(name[2:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of brackets in a VOTable
            table.write(tmp_path / name, format=kind)
        assert adapting.read_anchors(tmp_path / name) == {"A": {"teff": 3300.0, "mh": 0.1}, "B": {"mh": -0.2}}
    (tmp_path / "words.csv").write_text("star,teff\nA,hot\n")
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE")
    for name, words in (("words.csv", "hot"), ("none.csv", "give a column star"), ("broken.fits", "cannot be read"),
                        ("absent.csv", "not found")):  # fmt: skip
        with pytest.raises(DataError, match=words) as caught:
            adapting.read_anchors(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_refuses_too_few_with_status_two(tmp_path):
    from dtl_core.synthetic.examples import write_examples

    write_examples(tmp_path)
    result = CliRunner().invoke(main, ["predict", str(tmp_path), "--adapt"])
    assert result.exit_code == 2 and "3 spectra are too few" in result.stderr


def test_the_command_adapts_saves_and_predicts(tmp_path, monkeypatch):
    stars, truth = survey(902, 32)
    (tmp_path / "stars").mkdir()
    for star in stars:
        table = Table({"wavelength": star.wavelength, "flux": star.flux})
        table.meta = {"STAR": star.star, "RESOLVING_POWER": POWER, "FRAME": "rest", "MEDIUM": "vacuum"}
        table.write(tmp_path / "stars" / f"{star.star}.ecsv")
    anchors = Table({"star": [s.star for s in stars[:8]], "teff": truth[:8, 0]})
    anchors.write(tmp_path / "known.csv")
    monkeypatch.setattr(adapting, "N_TWINS", 1)
    whole = adapting.adapt
    monkeypatch.setattr(adapting, "adapt", lambda *a, **k: whole(*a, n_spectra=400, epochs=1, **k))
    arguments = ["predict", tmp_path / "stars", "--adapt", "--anchors", tmp_path / "known.csv", "--save-models",
                 tmp_path / "own", "--json", "--quiet"]  # fmt: skip
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["stars"]
    assert len(found) == 32 and {row["method"] for row in found} == {"combined"}
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["R053000.safetensors"]

"""The ensemble at work gives the catalogue's estimates, for any number of stars in any chunks."""

import dataclasses

import numpy as np
import pytest
from bounds import bounded

from dtl_core.errors import DataError
from dtl_core.models import loading, making
from dtl_core.models.ensemble import Ensemble, estimate_stream
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS

pytestmark = pytest.mark.uses_smoke


@pytest.mark.parametrize("encoder", ["transfer", "direct"])
def test_votes_and_estimates_are_those_of_the_catalogue(smoke, encoder):
    ensemble, selection = Ensemble(smoke, encoder), smoke.arrays("catalogue", "selection")
    votes = ensemble.votes(smoke.observed)
    for name in PARAMETERS:
        stored = selection[f"{encoder}_{name}"]
        bounded(f"votes on {name} apart, over the spread", np.abs(votes[name] - stored) / stored.std(), below=2e-4)
    found, catalogue = ensemble.estimate(smoke.observed), smoke.catalogue_of(encoder)
    for k, column in enumerate(PARAMETER_COLUMNS.values()):
        for j, name in enumerate((column, f"e_{column}", f"E_{column}")):
            step = np.ptp(selection[f"{encoder}_{PARAMETERS[k]}"], axis=0) / 20  # several of the density's grid
            apart = np.abs(found[:, k, j] - catalogue[name]) / (step + 1e-6)
            bounded(f"{name} apart, over steps of the density", apart, below=1)


def test_a_stream_of_stars_comes_back_in_order(smoke):
    sizes = [3, 1, 7, 2, 5, 4, 6]
    rows = np.arange(sum(sizes))
    chunks = (smoke.observed[part] for part in np.split(rows, np.cumsum(sizes)[:-1]))
    found = list(estimate_stream(smoke, chunks, workers=2))
    assert [len(part) for part in found] == sizes
    whole = Ensemble(smoke).estimate(smoke.observed[rows])
    np.testing.assert_allclose(np.concatenate(found), whole, rtol=1e-4, atol=0.1)


def test_a_stream_takes_no_more_than_it_works_on(smoke):
    taken = []

    def chunks():
        for number in range(50):
            taken.append(number)
            yield smoke.observed[number : number + 1]

    stream = estimate_stream(smoke, chunks(), workers=1)
    next(stream)
    assert len(taken) <= 3
    stream.close()
    assert len(taken) <= 3, "closing it stops the work"


def test_spectra_on_another_grid_or_with_gaps_are_refused(smoke):
    ensemble = Ensemble(smoke)
    with pytest.raises(DataError, match=f"put the spectra on the run's grid of {len(smoke.wavelength)} pixels"):
        ensemble.votes(smoke.observed[:2, :-1])
    broken = smoke.observed[:3].copy()
    broken[1, 5] = np.nan
    with pytest.raises(DataError, match="spectrum 1 is not finite"):
        ensemble.estimate(broken)
    with pytest.raises(DataError, match="spectrum 1 is not finite"):
        list(estimate_stream(smoke, [broken], workers=1))


def test_an_ensemble_comes_back_from_its_arrays(smoke):
    ensemble = Ensemble(smoke, "direct")
    again = Ensemble.from_arrays(smoke.config, *ensemble.arrays())
    np.testing.assert_array_equal(ensemble.estimate(smoke.observed[:5]), again.estimate(smoke.observed[:5]))


def test_the_papers_ensemble_becomes_a_model_for_other_peoples_spectra(smoke, few_surveys, tmp_path):
    sizes = {"n_spectra": 200, "emulator_epochs": 3, "reference_stars": 80, "test_stars": 40}
    small = dataclasses.replace(smoke.config.models, **sizes)
    run = dataclasses.replace(smoke, config=dataclasses.replace(smoke.config, models=small))
    made = making.paper_specialist(run)
    one = loading.load(made.save(tmp_path / "paper.safetensors")).specialists[0]
    assert one.card["method"] == "paper" and len(one.wavelength) == len(smoke.wavelength)
    flux = smoke.observed[:6]
    ensemble, found = Ensemble(smoke, "direct"), one.estimate(flux)
    votes, rounded = ensemble.votes(flux), one.network.votes(flux)  # with weights of half precision
    for name in PARAMETERS:
        spread = smoke.truth[name].std()
        bounded(f"votes on {name} apart, over the spread", np.abs(rounded[name] - votes[name]) / spread, below=0.05)
    # of two modes of equal height rounding may choose the other one, of a star or two
    apart = np.abs(found["found"] - ensemble.estimate(flux)[..., 0]) / smoke.truth[list(PARAMETERS)].std().to_numpy()
    bounded("share of estimates within 0.1 spreads", np.mean(apart < 0.1), above=0.9)
    assert np.isfinite(found["low"]).all() and (found["low"] <= found["high"]).all()
    assert set(one.card["figures"]) == {f"{low}-{high}" for low, high in making.TEST_SNR}

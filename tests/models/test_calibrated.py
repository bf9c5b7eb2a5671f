"""Networks that have also seen lines corrected by real stars."""

import dataclasses

import numpy as np
import pytest
import torch

from dtl_core.bridging.randomiser import Randomiser
from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.literature import real_stars
from dtl_core.models import making
from dtl_core.models.calibrated import REMAINING, Calibrated, bridged
from dtl_core.synthetic import examples
from dtl_core.synthetic.line_corrections import load_corrections

PIXELS = 300


def test_gaps_are_bridged_linearly_and_the_rest_is_left_alone():
    generator = torch.Generator().manual_seed(0)
    flux = torch.rand(200, PIXELS, generator=generator)
    changed = bridged(flux, generator)
    assert changed.shape == flux.shape
    touched = changed != flux
    assert 0.02 < touched.float().mean() < 0.5
    assert not touched[:, 0].any() and not touched[:, -1].any()
    # within a gap the second difference vanishes, wherever both neighbours are in the gap too
    inner = touched[:, :-2] & touched[:, 1:-1] & touched[:, 2:]
    second = changed[:, :-2] - 2 * changed[:, 1:-1] + changed[:, 2:]
    assert (second[inner].abs() < 1e-5).float().mean() > 0.8  # gaps that meet bend there


def test_a_straight_spectrum_has_no_gaps_to_see():
    straight = torch.linspace(0.8, 1.1, PIXELS).repeat(20, 1)
    torch.testing.assert_close(bridged(straight, torch.Generator().manual_seed(1)), straight, rtol=0, atol=1e-6)


class _Marking:
    """A problem whose random changes show which randomiser was used."""

    def randomised(self, randomiser, flux, rows, generator):
        assert len(flux) == len(rows)
        return flux + (0.5 if randomiser.line_strength == REMAINING["line_strength"] else 0.0)


@pytest.mark.parametrize("n_rows", [1, 7, 64])
def test_every_row_gets_its_own_spectrum_and_the_changes_of_its_lines(n_rows):
    network = Calibrated()
    network.problem, network.generator = _Marking(), torch.Generator().manual_seed(3)
    draws, known = 6, 100
    network.drawn = (1000.0 * torch.arange(draws)[:, None] + torch.arange(known)[None])[..., None].repeat(1, 1, PIXELS)
    rows = torch.randperm(known, generator=torch.Generator().manual_seed(2))[:n_rows]
    seen = network.seen(rows)
    value = seen[:, 0]
    draw, row = (value // 1000).long(), value % 1000
    torch.testing.assert_close(row.floor(), rows.float())
    torch.testing.assert_close(row - row.floor(), torch.where(draw >= draws // 2, 0.5, 0.0))
    if n_rows > 50:
        assert set(draw.tolist()) == set(range(draws))


def test_corrected_lines_get_smaller_changes_with_the_same_noise():
    network = Calibrated()
    network.randomiser = Randomiser(noise=0.03)
    assert network.remaining.noise == 0.03
    assert network.remaining.line_strength < network.randomiser.line_strength
    assert network.remaining.lines < network.randomiser.lines


def test_surveys_take_turns_with_corrected_lines_by_draws_that_training_does_not_use():
    config = load_profile("demo", {"survey.noise": 0.0, "window.resolving_power": 53_000.0})
    corrections = load_corrections()
    plain, changed = (making.simulated_stars(config, 24, [5, 6, 7, 8], corrections=own) for own in (None, corrections))
    np.testing.assert_array_equal(plain[1], changed[1])  # the same stars
    moved = np.array([np.std(changed[0][plain[3] == n] - plain[0][plain[3] == n]) for n in range(4)])
    assert moved[:2].max() == 0 and moved[2:].min() > 0.01
    options = {"corrections": corrections, "corrected": [True, False]}
    chosen, truth, _, survey = making.simulated_stars(config, 12, [5, 6], **options)
    np.testing.assert_array_equal(truth, plain[1][:12])
    moved = [np.std(chosen[survey == n] - plain[0][:12][survey == n]) for n in range(2)]
    assert moved[0] > 0.01 and moved[1] == 0
    training, testing = making._split(corrections)
    assert not set(training) & set(testing)
    assert sorted({*training, *testing}) == list(range(1, corrections.n_draws + 1))
    assert examples.DRAW in testing


def test_only_the_embedded_library_has_corrections():
    config = load_profile("demo")
    assert making.corrections_of(config).meta["library"] == config.synthetic.library
    other = dataclasses.replace(config, synthetic=dataclasses.replace(config.synthetic, library="phoenix"))
    assert making.corrections_of(other) is None


def test_a_model_is_not_judged_on_the_stars_of_its_corrections():
    seen = load_corrections().meta["stars"]
    stars = real_stars.load_real_stars()
    assert seen
    for name in seen:
        with pytest.raises(DataError):
            real_stars.check_unseen(stars[name], seen)


def test_a_map_leaves_the_number_of_threads_as_it_was():
    """Numba and PyTorch share it, and what is trained afterwards has other bytes with another number."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        making.latent_map(np.random.default_rng(0).normal(size=(60, 5)), 0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)

"""The methods that cross the synthetic gap: each does what it says, on toy spectra of injected distortions."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from bounds import bounded
from torch.distributions import Normal
from toys import HIGH, LOW, POWER, depths, draw, off, toy
from toys import WAVE as WHOLE

from dtl_core.bridging import corrections, fits, flux_networks
from dtl_core.bridging.methods import METHODS
from dtl_core.bridging.problem import Problem
from dtl_core.bridging.randomiser import Randomiser
from dtl_core.bridging.trained_networks import TrainedFluxNet
from dtl_core.parameters import PARAMETERS

pytestmark = pytest.mark.slow

PIXELS = slice(0, 180)
WAVE = WHOLE[PIXELS]
N_STARS = 40
# Trained twice; the others differ from these in what is done with the network, or are no networks at all.
CHEAP = ("no transfer", "aligned", "adversarial", "randomised", "principal components, noise", "chi-square")
# Standardised components without variance, of which four labels have many, amplify any distortion, so that these learn
# the synthetic labels but not those of distorted spectra.
FRAGILE = ("principal components", "principal components, refitted")
ANCHORED = {name for name, method in METHODS.items() if method.anchored}


def distortion():
    """Factors of the opacity, the same for every star."""
    return np.exp(0.25 * np.sin(WHOLE * 3.1) + 0.1)


def tensor(values):
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    labels, truth = draw(rng, 900), draw(rng, N_STARS, 0.15)
    stars = toy(truth, distortion()) + rng.normal(0, 2e-3, (N_STARS, len(WHOLE)))
    anchors = {"teff": (np.arange(14), truth[:14, 0]), "logg": (np.arange(14), truth[:14, 1]),
               "mh": (np.arange(14, 20), truth[14:20, 2])}  # fmt: skip
    flux, stars = (tensor(v[:, PIXELS]) for v in (toy(labels), stars))
    rows = np.arange(750), np.arange(750, 900)
    own = Problem(WAVE, flux, tensor(labels), *rows, stars, POWER, anchors, epochs=12, emulator_epochs=30)
    own.truth = truth
    return own


@pytest.fixture(scope="module")
def fitted(problem):
    """name -> the method and its labels of the stars, each fitted once."""

    @functools.cache
    def once(name):
        method = METHODS[name]().fit(problem)
        return method, method.predict(problem.stars)

    return once


@pytest.mark.parametrize("name", [name for name in METHODS if name not in FRAGILE])
def test_every_method_learns_the_synthetic_labels(problem, fitted, name):
    method, found = fitted(name)
    assert found.shape == (N_STARS, len(PARAMETERS)) and np.isfinite(found).all()
    spread = off(np.full_like(problem.truth, 1) * problem.truth.mean(0), problem.truth)
    bounded("error over that of the mean label", off(found, problem.truth).mean() / spread.mean(), below=1.2)
    # the distortion shifts all labels, but they follow the truth, which those of an untrained network do not
    pairs = zip(found.T, problem.truth.T, strict=True)
    bounded("correlations with the truth", [np.corrcoef(*pair)[0, 1] for pair in pairs], above=0.6)
    np.testing.assert_array_equal(method.predict(problem.stars), found)


@pytest.mark.parametrize("name", FRAGILE)
def test_standardised_components_learn_the_synthetic_labels(problem, fitted, name):
    method, _ = fitted(name)
    flux, truth = problem.flux[problem.valid], problem.labels[problem.valid].numpy()
    ratio = off(method.predict(flux), truth) / off(np.full_like(truth, 1) * truth.mean(0), truth)
    bounded("error over that of the mean label", ratio, below=0.5)


@pytest.mark.parametrize("name", CHEAP)
def test_the_same_problem_gives_the_same_numbers(problem, fitted, name):
    np.testing.assert_array_equal(METHODS[name]().fit(problem).predict(problem.stars), fitted(name)[1])


def test_no_method_sees_the_truth_of_a_star_but_for_the_anchors(problem, fitted):
    assert not [name for name in vars(problem) if name == "labels" and len(vars(problem)[name]) == len(problem.stars)]
    hidden = Problem(**{f: getattr(problem, f) for f in Problem.__dataclass_fields__})  # without ``truth``
    hidden.trained = {}  # and with nothing learnt yet
    np.testing.assert_array_equal(METHODS["combined"]().fit(hidden).predict(problem.stars), fitted("combined")[1])


class Told(dict):
    """Anchor stars that remember whether anybody looked at them."""

    looked = False

    def get(self, *key):
        self.looked = True
        return super().get(*key)


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_looks_at_the_anchor_stars_if_and_only_if_it_says_so(problem, name):
    anchors = Told(problem.anchors)
    short = {"epochs": 1, "emulator_epochs": 1, "trained": {}, "anchors": anchors}
    short |= {"train": problem.train[:200], "stars": problem.stars[:20]}
    method = METHODS[name]().fit(dataclasses.replace(problem, **short))
    assert anchors.looked == method.anchored
    known = method.known_stars(problem)
    assert known.tolist() == (list(range(20)) if method.anchored else [])


def test_the_methods_with_anchor_stars_are_these():
    zero_points = {"zero points", "zero points, fine-tuned", "zero points, no transfer"}
    assert ANCHORED == zero_points | {"anchored", "combined", "least squares anchored"}


@pytest.mark.parametrize("name", sorted(ANCHORED))
def test_what_is_said_of_the_anchor_stars_changes_the_estimates_of_the_others(problem, fitted, name):
    method, found = fitted(name)
    if name.startswith("zero"):
        anchors = {p: (rows, values + 10) for p, (rows, values) in problem.anchors.items()}
        changed = METHODS[name]()
        changed.inner = method.inner
        shifted = changed.adapt(dataclasses.replace(problem, anchors=anchors)).predict(problem.stars)
        np.testing.assert_allclose(shifted[20:] - found[20:], np.tile([10, 10, 10, 0], (20, 1)), atol=1e-3)
    else:
        assert np.abs(corrections.zero_points(found, problem.anchors)[:3] / (HIGH - LOW)[:3]).max() < 0.02


# ---------------------------------------------------------------- self-calibration


def test_self_calibration_finds_the_injected_opacities_and_better_labels(problem, fitted):
    (_, plain), (method, found) = fitted("least squares"), fitted("least squares anchored")
    lines = depths(problem.truth).mean(0)[PIXELS] > 0.2
    scale = method.calibrated.scale.numpy()[lines]
    bounded("correlation", np.corrcoef(scale, distortion()[PIXELS][lines])[0, 1], above=0.8)
    ratio = off(found, problem.truth).mean() / off(plain, problem.truth).mean()
    bounded("error over that of the plain fit", ratio, below=0.5)


def test_the_combined_method_calibrates_lines_and_its_network_learns_from_them(problem, fitted):
    (method, found), (_, without) = fitted("combined"), fitted("randomised")
    bounded("error over that without", off(found, problem.truth).mean() / off(without, problem.truth).mean(), below=0.8)
    # its spectra are those of the observed domain: nearer to it than the synthetic ones
    with torch.no_grad():
        synthetic = method.least_squares.emulator(tensor(problem.truth))
    before, after = (
        (problem.stars - flux).square().mean().sqrt() for flux in (synthetic, method.reconstruct(problem.truth))
    )
    bounded("residual of the stars, after over before", after / before, below=0.5)
    # which its network learns from
    distorted = tensor(toy(problem.labels, distortion())[:, PIXELS])
    before, after = ((distorted - flux).square().mean().sqrt() for flux in (problem.flux, method.network.lines))
    bounded("error of the lines, after over before", after / before, below=0.5)
    # the anchor stars come out right in the median
    bounded("zero points", np.abs(corrections.zero_points(found, problem.anchors)), below=1e-3)


def test_adapting_again_forgets_the_stars_before(problem, fitted):
    method = METHODS["least squares self-calibrated"]()
    method.learn(problem)
    few = Problem(
        **{f: getattr(problem, f) for f in Problem.__dataclass_fields__} | {"stars": problem.stars[:6] ** 1.5}
    )
    method.rounds = 1
    method.adapt(few)
    first = fitted("least squares self-calibrated")[0].calibrated.scale
    bounded("scales apart", (method.calibrated.scale - first).abs().max(), above=0.05)
    del method.rounds
    method.adapt(problem)
    np.testing.assert_array_equal(method.predict(problem.stars), fitted("least squares self-calibrated")[1])


def test_corrected_spectra_have_synthetic_lines(problem, fitted):
    method, _ = fitted("least squares anchored")
    labels = tensor(problem.truth)
    with torch.no_grad():
        torch.testing.assert_close(method.difference(labels), method.calibrated(labels) - method.emulator(labels))
        torch.testing.assert_close(method.corrected(method.calibrated(labels), labels), method.emulator(labels))
    expected = tensor(toy(problem.truth)[:, PIXELS])
    before, after = problem.stars - expected, method.corrected(problem.stars, labels) - expected
    bounded("mean square after over before", after.square().mean() / before.square().mean(), below=0.1)


def test_with_the_right_labels_one_round_finds_the_opacities_whatever_fast_rotators_show(problem, fitted):
    labels, stars = tensor(problem.truth), problem.stars.clone()
    fast = torch.argsort(labels[:, 3])[N_STARS // 2 :]
    found = []
    for strange in (False, True):
        stars[fast] = 0.5 if strange else stars[fast]
        method = corrections.SelfCalibrated()
        method.inner, method.emulator = None, fitted("least squares")[0].emulator
        method._compare(stars, labels)
        found.append(method.calibrated.scale.numpy())
    np.testing.assert_array_equal(*found)
    lines = depths(problem.truth).mean(0)[PIXELS] > 0.2
    bounded("rms of the logarithm", np.sqrt(np.mean(np.log(found[0] / distortion()[PIXELS])[lines] ** 2)), below=0.1)


def test_pixels_that_no_line_strength_explains_lose_their_weight(problem, fitted):
    stars = problem.stars.clone()
    stars[:, 30:34] += 0.05 * torch.randn(N_STARS, 4, generator=torch.Generator().manual_seed(0))
    method = corrections.LeastSquaresSelfCalibrated()
    method.inner, method.emulator = fits.LeastSquares(), fitted("least squares")[0].emulator
    method._compare(stars, tensor(problem.truth))
    weight = method.inner.weight
    bounded("largest weight over the median", weight[30:34].max() / weight.median(), below=0.05)
    assert weight.mean() == pytest.approx(1, abs=1e-5)
    assert method.inner.emulator is method.calibrated, "the fit goes on with the lines that were found"


def test_common_lines_are_a_regression_pixel_by_pixel():
    rng = np.random.default_rng(1)
    expected = tensor(rng.uniform(0.2, 1.5, (300, 40)))
    scale, offset = torch.linspace(0.6, 1.7, 40), torch.linspace(-0.1, 0.2, 40)
    observed = offset + scale * expected
    observed[:5] += 3.0  # some strange stars
    found = corrections.common_lines(observed, expected, ridge=0.02)
    torch.testing.assert_close(found[1], scale, atol=0.02, rtol=0)
    torch.testing.assert_close(found[0], offset, atol=0.02, rtol=0)


def test_common_lines_solve_the_ridge_equations():
    rng = np.random.default_rng(2)
    expected, ridge = tensor(rng.uniform(0, 2, (60, 5))), 0.5
    observed = 0.02 + 1.3 * expected
    offset, scale = corrections.common_lines(observed, expected, ridge)
    for k in range(5):
        design = np.vstack([np.column_stack([np.ones(60), expected[:, k]]), np.eye(2) * ridge * np.sqrt(60)])
        solved = np.linalg.lstsq(design, np.append((observed - expected)[:, k], [0, 0]), rcond=None)[0]
        np.testing.assert_allclose([offset[k], scale[k] - 1], solved, atol=1e-4)


def test_pixels_without_lines_are_left_alone():
    quiet = torch.full((50, 10), 1e-4)
    offset, scale = corrections.common_lines(quiet + 1e-4, quiet, ridge=0.02)
    assert (scale - 1).abs().max() < 0.01 and offset.abs().max() < 2e-4


def test_residuals_of_one_star_at_a_time_are_added():
    lines, left = 0.3 + 0.6 * torch.rand(500, 30), 3 * torch.eye(30)[:7]
    method = corrections._WithResiduals(lines, left)
    method.randomiser = Randomiser(noise=0, continuum=0, velocity=0, resolution=0, line_strength=0, lines=0)
    labels = torch.rand(500, 4)
    method.problem = Problem(WAVE[:30], lines, labels, None, None, None, POWER)
    method.generator = torch.Generator().manual_seed(0)
    rows = torch.arange(500).flip(0)
    added = method.seen(rows) - lines[rows]
    assert added[:, 7:].abs().max() < 1e-5
    size, star = (added / 3).max(1)
    assert ((added.abs() > 1e-4).sum(1) == 1).all() and len(star.unique()) == 7
    assert size.mean() == pytest.approx(1, abs=0.05) and size.std() == pytest.approx(0.3, abs=0.05)


# ---------------------------------------------------------------- physics drawn at random


def test_a_network_that_has_seen_other_physics_is_right_where_the_others_are_biased(problem):
    """Opacities that differ between stars, which the errors of a line list do not imitate."""

    def strong(labels, rng):
        return np.exp(-np.exp(rng.normal(0.0, 0.4, (len(labels), 1))) * depths(labels))[:, PIXELS]

    labels, rng = problem.labels.numpy(), np.random.default_rng(5)
    drawn = tensor(np.stack([strong(labels, rng) for _ in range(3)]))
    own = Problem(**{f: getattr(problem, f) for f in Problem.__dataclass_fields__} | {"trained": {}})
    own.other_physics, quiet = lambda: drawn, Randomiser(line_strength=0.0, lines=0.0)
    truth = draw(np.random.default_rng(6), 200, 0.15)
    stars = tensor(strong(truth, np.random.default_rng(7)))
    error = {}
    for kind in (flux_networks.Randomised, flux_networks.Informed):
        method = kind()
        method.randomiser = quiet
        error[kind] = off(method.fit(own).predict(stars), truth)[0]
    bounded(
        "Teff, informed over uninformed", error[flux_networks.Informed] / error[flux_networks.Randomised], below=0.8
    )
    assert not hasattr(method, "drawn"), "spectra for training are not kept"


def test_without_other_physics_an_informed_network_is_a_randomised_one(problem):
    method = flux_networks.Informed()
    method.problem, method.generator = problem, torch.Generator().manual_seed(0)
    method.randomiser = Randomiser(noise=0, continuum=0, velocity=0, resolution=0, line_strength=0, lines=0)
    method.prepare()
    torch.testing.assert_close(method.seen(torch.arange(5)), problem.flux[:5], atol=1e-5, rtol=0)


# ---------------------------------------------------------------- the network's own errors


def test_the_loss_is_the_error_and_its_likelihood_which_leaves_the_features_alone():
    generator = torch.Generator().manual_seed(0)
    flux, labels = (torch.randn(60, n, generator=generator) for n in (180, 4))
    net = flux_networks.FluxNet(flux, labels, 0)
    features = net.features(flux)
    error, width = net.head(features) - net.standardised(labels), torch.exp(net.log_spread(features))
    likelihood = Normal(0.0, width.detach()).log_prob(error.detach()).mean() + 0.5 * np.log(2 * np.pi)
    assert net.loss(features, labels).item() == pytest.approx((error.square().mean() - likelihood).item(), rel=1e-5)
    both = torch.autograd.grad(net.loss(net.features(flux), labels), net.dense.parameters())
    alone = torch.autograd.grad(
        (net.head(net.features(flux)) - net.standardised(labels)).square().mean(), net.dense.parameters()
    )
    for one, two in zip(both, alone, strict=True):
        torch.testing.assert_close(one, two)


def test_labels_and_their_errors_come_in_their_units():
    generator = torch.Generator().manual_seed(1)
    flux, labels = torch.randn(60, 180, generator=generator), tensor(draw(np.random.default_rng(0), 60))
    net = flux_networks.FluxNet(flux, labels, 0)
    found, spread = net(flux)
    features = net.features(flux)
    torch.testing.assert_close(net.standardised(found), net.head(features), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(spread, torch.exp(net.log_spread(features)) * labels.std(0))


@pytest.mark.parametrize("pixels", [180, 181, 187, 1167])
def test_after_training_numpy_finds_what_the_trained_network_does(pixels):
    generator = torch.Generator().manual_seed(2)
    flux, labels = torch.randn(20, pixels, generator=generator), tensor(draw(np.random.default_rng(0), 20))
    net = flux_networks.FluxNet(flux, labels, 0)
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    for wrong in ({"head.bias": weights["head.bias"][:1]}, {"label_mean": weights["label_mean"][:1]}):
        with pytest.raises(ValueError, match="has shape"):
            TrainedFluxNet(weights | wrong, pixels)
    alone = TrainedFluxNet(weights, pixels)
    with torch.no_grad():
        np.testing.assert_allclose(alone.features(flux.numpy()), net.features(flux), rtol=1e-5, atol=1e-5)
        for one, other in zip(alone(flux.numpy()), net(flux), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("name", ["no transfer", "randomised", "combined"])
def test_errors_of_synthetic_spectra_are_as_large_as_expected(problem, fitted, name):
    method, _ = fitted(name)
    network = getattr(method, "network", method)
    rows = torch.as_tensor(problem.valid)
    flux = network.seen(rows)
    ratio = (network.predict(flux) - problem.labels[rows].numpy()) / network.spread(flux)
    assert np.all(network.spread(flux) > 0)
    bounded("error over what is expected", np.std(ratio, 0), above=0.5, below=2)


# ---------------------------------------------------------------- the linear baseline


def test_principal_components_are_those_of_a_singular_value_decomposition(problem, fitted):
    method, _ = fitted("principal components")
    train = problem.flux[problem.train].numpy().astype(float)
    left, size, right = np.linalg.svd(train - train.mean(0), full_matrices=False)
    scores = np.sqrt(len(train) - 1) * left[:, :32]  # of unit variance
    found = method.synthetic_latent(problem.train)
    assert found.shape == (len(train), 32)
    sign = np.sign((found * scores).sum(0))
    np.testing.assert_allclose(found * sign, scores, atol=2e-3)
    np.testing.assert_allclose(method.components.explained_variance_, size[:32] ** 2 / (len(train) - 1), rtol=1e-4)
    expected = (problem.stars.numpy() - train.mean(0)) @ right[:32].T / size[:32] * np.sqrt(len(train) - 1)
    np.testing.assert_allclose(method.latent(problem.stars) * sign, expected, atol=2e-2)


def test_refitted_components_are_those_of_both_domains_at_equal_weight(problem, fitted):
    plain, refitted = fitted("principal components")[0], fitted("principal components, refitted")[0]
    assert (len(problem.train), len(problem.stars)) == (750, 40)
    both = np.concatenate([problem.flux[problem.train].numpy(), *19 * [problem.stars.numpy()]]).astype(float)
    np.testing.assert_allclose(refitted.components.mean_, both.mean(0), atol=1e-6)

    def lost(method):
        stars = problem.stars.double().numpy()
        return np.square(stars - method.components.inverse_transform(method.components.transform(stars))).mean()

    assert lost(refitted) < 0.7 * lost(plain)


def test_noise_in_training_reaches_the_regressors_but_not_the_features(problem, fitted):
    for plain, noisy in (
        ("principal components", "principal components, noise"),
        ("autoencoder", "autoencoder, noise"),
    ):
        (clean, one), (augmented, two) = fitted(plain), fitted(noisy)
        rows = problem.valid[:50]
        np.testing.assert_array_equal(clean.synthetic_latent(rows), augmented.synthetic_latent(rows))
        assert not np.array_equal(one, two)
        rows = torch.as_tensor(rows)
        assert torch.equal(clean.seen(rows), problem.flux[rows])
        first, second = augmented.seen(rows), augmented.seen(rows)
        assert not torch.equal(first, second), "drawn again at each step"
        changed = (first - problem.flux[rows]).std()
        assert 0.005 < changed < 0.05


def test_regressors_that_saw_noise_bear_it_better(problem, fitted):
    rows = torch.as_tensor(problem.valid)
    noise = 0.01 * torch.randn(problem.flux[rows].shape, generator=torch.Generator().manual_seed(5))
    truth = problem.labels[rows].numpy()
    errors = [
        off(fitted(name)[0].predict(problem.flux[rows] + noise), truth).mean()
        for name in ("principal components, noise", "principal components")
    ]
    bounded("error with noise in training over that without", errors[0] / errors[1], below=0.8)
    errors = [
        off(fitted(name)[1], problem.truth).mean() for name in ("principal components, noise", "principal components")
    ]
    bounded("the same of distorted spectra", errors[0] / errors[1], below=0.8)


# ---------------------------------------------------------------- relatives of other methods


def test_generic_augmentation_leaves_line_strengths_alone_and_randomisation_does_not(problem, fitted):
    rows = torch.arange(300)
    flux = torch.cat([problem.flux[:1]] * 300)  # the same spectrum in every row
    lines = flux[0] < 0.8

    def ratio(name):
        method = fitted(name)[0]
        quiet = dataclasses.replace(method.randomiser, noise=0, continuum=0, velocity=0, resolution=0)
        changed = problem.randomised(quiet, flux, rows, torch.Generator().manual_seed(0))
        return (torch.log(changed) / torch.log(flux))[:, lines].std()

    assert ratio("augmented") < 1e-4 and ratio("randomised") > 0.2


def test_zero_points_shift_their_base_by_constants(problem, fitted):
    pairs = {
        "zero points": "randomised",
        "zero points, fine-tuned": "fine-tuned",
        "zero points, no transfer": "no transfer",
    }
    for name, base in pairs.items():
        shifted, plain = fitted(name)[1], fitted(base)[1]
        zero = corrections.zero_points(plain, problem.anchors)
        np.testing.assert_allclose(plain - shifted, np.tile(zero, (N_STARS, 1)), rtol=1e-4, atol=1e-3)
        assert zero[3] == 0


def test_combined_without_anchors_is_what_a_problem_without_anchors_gives(problem, fitted):
    method, found = fitted("combined, no anchors")
    without = dataclasses.replace(problem, anchors={})
    np.testing.assert_array_equal(METHODS["combined"]().fit(without).predict(problem.stars), found)
    assert np.all(method.zero == 0)


# ---------------------------------------------------------------- the parts of the others


def test_zero_points_are_medians_over_the_anchor_stars(problem):
    found = problem.truth + np.array([50.0, -0.1, 0.2, 3.0])
    found[3] += 1000  # one bad star moves no median
    np.testing.assert_allclose(corrections.zero_points(found, problem.anchors), [50, -0.1, 0.2, 0], atol=1e-9)


def test_a_reversed_gradient_is_the_same_value_and_the_opposite_slope():
    x = torch.tensor([2.0], requires_grad=True)
    y = flux_networks._Reversed.apply(x, 0.5) ** 2
    y.backward()
    assert y.item() == 4 and x.grad.item() == -2


def test_covariance_is_numpys():
    x = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(flux_networks._covariance(x), np.cov(x.numpy().T))


def test_fine_tuning_leaves_the_first_layers_and_a_frozen_decoder_the_decoder(fitted):
    tuned, frozen = fitted("fine-tuned")[0], fitted("frozen decoder")[0]

    def changed(method, part):
        pairs = zip(getattr(method.source, part).parameters(), getattr(method.encoder, part).parameters(), strict=True)
        return [not torch.equal(a, b) for a, b in pairs]

    assert any(changed(tuned, "decoder")) and not any(changed(frozen, "decoder"))
    assert any(changed(frozen, "encoder"))
    kept = [layer for layer in tuned.encoder.encoder[: tuned.transfer.frozen_layers]]
    for before, after in zip(tuned.source.encoder, kept, strict=False):
        for one, two in zip(before.parameters(), after.parameters(), strict=True):
            assert torch.equal(one, two)
    assert any(changed(tuned, "encoder"))


def test_a_fit_does_not_depend_on_which_other_stars_are_fitted_with_it(problem):
    method = METHODS["least squares"]().fit(problem)
    noise = torch.as_tensor(np.random.default_rng(1).normal(1, 0.3, (20, len(WAVE))), dtype=torch.float32)
    together = method.predict(torch.cat([problem.stars[:5], noise]))[:5]
    bounded("apart", off(together, method.predict(problem.stars[:5])).max(), below=0.005)

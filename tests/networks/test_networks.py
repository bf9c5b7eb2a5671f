"""Autoencoders and regressors: both contractive forms and the losses against autograd, stacks, training, splits."""

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bounds import bounded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torch import nn

from dtl_core.config import load_profile
from dtl_core.errors import DTLError
from dtl_core.files import load_arrays
from dtl_core.networks import training
from dtl_core.networks.autoencoder import Autoencoder, autoencoder_loss, contractive_penalty, layer_widths
from dtl_core.networks.fine_tuning import fine_tune, reconstruction_error
from dtl_core.networks.regressor import Regressor, _PairConvolution, live_units, regression_loss
from dtl_core.networks.stacks import StackedLinear, glorot, join, member_generators, put, take
from dtl_core.networks.training import (
    PRECISIONS,
    Checkpoint,
    choose_device,
    fit,
    fit_members,
    learning_rates,
    split,
    stratified_split,
)

PIXELS = 24
PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)


def fluxes(n=40, seed=0, dtype=torch.float32):
    """Spectra of one line whose depth and place vary: (n, PIXELS)."""
    generator = torch.Generator().manual_seed(seed)
    depth, place = torch.rand(2, n, 1, generator=generator, dtype=torch.float64)
    pixel = torch.linspace(-1, 1, PIXELS, dtype=torch.float64)
    flux = 1 - 0.7 * depth * torch.exp(-((pixel - place + 0.5) ** 2) / 0.05)
    return (flux + 0.02 * torch.rand(n, PIXELS, generator=generator, dtype=torch.float64)).to(dtype)


def small(seeds=(0,), dtype=torch.float64, **options):
    model = Autoencoder(PIXELS, 16, seeds, bottleneck=4, **options).to(dtype)
    with torch.no_grad():  # biases away from zero, so that they matter, and most units alive
        generator = torch.Generator().manual_seed(99)
        for layer in (*model.encoder, *model.decoder[:-1]):
            layer.bias += 0.3 * torch.rand(layer.bias.shape[1:], generator=generator)
    return model


# ---------------------------------------------------------------- stacks


@pytest.mark.parametrize(("n_in", "n_out"), [(5, 3), (5, 5), (5, 8)])
def test_stacked_linear_is_one_linear_layer_a_member(n_in, n_out):
    layer = StackedLinear(n_in, n_out, member_generators([1, 2]))
    assert layer.matrix.shape == (2, n_in, n_out) and all(p.is_contiguous() for p in layer.parameters())
    nn.init.normal_(layer.bias)
    x = torch.randn(7, 5)
    y = layer(x)
    assert y.shape == (2, 7, n_out)
    for k in range(2):
        torch.testing.assert_close(y[k], F.linear(x, layer.matrix[k].T, layer.bias[k, 0]))
    own = torch.randn(2, 7, 5)
    torch.testing.assert_close(layer(own)[1], layer(own[1])[1])


def test_glorot_weights_are_uniform_with_keras_bound_and_seeded_by_member():
    weight = glorot(member_generators([3, 4]), 200, 100, fan_in=200, fan_out=100)
    bound = (6 / 300) ** 0.5
    assert weight.abs().max() <= bound and weight.abs().max() > 0.99 * bound
    assert abs(weight.mean()) < 0.01 * bound and weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    torch.testing.assert_close(glorot(member_generators([4]), 200, 100, fan_in=200, fan_out=100)[0], weight[1])


# ---------------------------------------------------------------- architecture


def test_layer_widths_are_the_papers():
    assert layer_widths(3501, 1024) == [3501, 1024, 768, 512, 256, 128, 32]


def test_autoencoder_has_the_papers_layers_and_shapes():
    model = Autoencoder(3501, 1024, (0,))
    encoder = [tuple(layer.matrix.shape[1:]) for layer in model.encoder]
    assert encoder == [(3501, 1024), (1024, 768), (768, 512), (512, 256), (256, 128), (128, 32)]
    assert [tuple(layer.matrix.shape[1:]) for layer in model.decoder] == [(b, a) for a, b in encoder[::-1]]
    flux = torch.rand(3, 3501)
    hidden = model.hidden(flux)
    assert [h.shape[-1] for h in hidden] == [1024, 768, 512, 256, 128, 32]
    assert model.encode(flux).shape == (1, 3, 32) and model(flux).shape == (1, 3, 3501)
    assert all((h >= 0).all() for h in hidden)


def test_output_is_a_sigmoid_times_the_ceiling_and_members_take_their_own_flux():
    model = small((0, 1), flux_ceiling=1.3)
    flux = torch.stack([fluxes(6, 0), fluxes(6, 1)]).double()
    out = model(100 * flux)
    assert out.shape == (2, 6, PIXELS) and (out > 0).all() and (out < 1.3).all()
    torch.testing.assert_close(model(flux)[1], model(flux[1])[1])
    by_hand = flux[0] / 1.3
    for layer in model.encoder:
        by_hand = torch.relu(by_hand @ layer.matrix[0] + layer.bias[0])
    torch.testing.assert_close(model.encode(flux)[0], by_hand)


def test_centring_standardises_the_input_and_starts_at_the_mean():
    sample = fluxes(200)
    model = Autoencoder(PIXELS, 16, (0, 1), bottleneck=4, sample=sample)
    seen = (sample / model.flux_ceiling - model.flux_mean) / model.flux_spread
    torch.testing.assert_close(seen.mean(0), torch.zeros(PIXELS), rtol=0, atol=1e-4)
    assert seen.std().item() == pytest.approx(1, rel=1e-3)
    start = model.decode(torch.zeros(2, 1, 4))
    torch.testing.assert_close(start, sample.mean(0).expand(2, 1, PIXELS), rtol=0, atol=1e-4)


# ---------------------------------------------------------------- contractive penalty


@pytest.mark.parametrize("centred", [False, True])
def test_exact_penalty_is_the_norm_of_autograds_jacobian(centred):
    flux = fluxes(5, dtype=torch.float64)
    model = small((0, 1), sample=flux if centred else None)
    penalty = contractive_penalty(model, model.hidden(flux), "exact")
    for member in range(2):
        norms = []
        for row in flux:
            # with respect to x = flux / flux_ceiling, what the network sees before centring
            encode = lambda x, m=member: model.encode((x * model.flux_ceiling)[None])[m, 0]  # noqa: E731
            jacobian = torch.autograd.functional.jacobian(encode, row / model.flux_ceiling)
            norms.append((jacobian**2).sum())
        torch.testing.assert_close(penalty[member], torch.stack(norms).mean())
    assert (penalty > 0).all()


def test_paper_penalty_is_the_published_formula():
    flux = fluxes(7, dtype=torch.float64)
    model = small((0, 1))
    penalty = contractive_penalty(model, model.hidden(flux), "paper")
    for member in range(2):
        h, weight = model.encode(flux)[member], model.encoder[-1].matrix[member]
        total = 0.0
        for row in h:
            for j in range(h.shape[1]):
                total = total + (row[j] * (1 - row[j])) ** 2 * (weight[:, j] ** 2).sum()
        torch.testing.assert_close(penalty[member], total / len(h))
    exact = contractive_penalty(model, model.hidden(flux), "exact")
    assert not torch.allclose(penalty, exact, rtol=0.1)


def test_paper_penalty_holds_its_weights_constant():
    flux = fluxes(7, dtype=torch.float64)
    model = small()
    activations = model.hidden(flux)
    contractive_penalty(model, activations, "paper").sum().backward()
    # expected: through h alone, with sum W^2 a number
    below, h = activations[-2].detach()[0], activations[-1].detach()[0]
    weight = model.encoder[-1].matrix.detach()[0]
    outer = 2 * h * (1 - h) * (1 - 2 * h) * (weight**2).sum(0) * (h > 0) / len(h)
    last = model.encoder[-1]
    torch.testing.assert_close(last.weight.grad[0].T if last.gathers else last.weight.grad[0], below.T @ outer)
    torch.testing.assert_close(model.encoder[-1].bias.grad[0, 0], outer.sum(0))
    # and it is not the gradient of the formula as a whole
    free = model.encoder[-1].matrix.detach().clone().requires_grad_()
    ((h * (1 - h)) ** 2 * (free[0] ** 2).sum(0)).sum(1).mean().backward()
    assert free.grad.abs().max() > 1e-6


@pytest.mark.parametrize("form", ["paper", "exact"])
def test_units_at_zero_contribute_nothing(form):
    model = small()
    with torch.no_grad():
        model.encoder[-1].bias -= 100
    activations = model.hidden(fluxes(4, dtype=torch.float64))
    assert contractive_penalty(model, activations, form).item() == 0


# ---------------------------------------------------------------- loss


def test_loss_is_the_sum_of_its_three_parts():
    flux = fluxes(6, dtype=torch.float64)
    model = small((0, 1))
    l1 = torch.tensor([0.0, 0.1], dtype=torch.float64)
    decoded = []
    hidden = model.hidden(flux)
    mse = (((model.decode(hidden[-1], decoded) - flux) / model.flux_ceiling) ** 2).mean((1, 2))
    activity = sum(h.abs().sum((1, 2)) / 6 for h in [*hidden[1:5], *decoded])
    assert len(decoded) == 5
    plain = autoencoder_loss(model, flux, l1=torch.zeros(2), weight=0.0)
    torch.testing.assert_close(plain, mse)
    torch.testing.assert_close(autoencoder_loss(model, flux, l1=l1, weight=0.0), mse + l1 * activity)
    for form in ("paper", "exact"):
        full = autoencoder_loss(model, flux, l1=l1, weight=0.3, form=form)
        torch.testing.assert_close(full, mse + l1 * activity + 0.3 * contractive_penalty(model, hidden, form))


@pytest.mark.parametrize(("form", "weight"), [("exact", 0.1), ("paper", 0.0)])
@pytest.mark.parametrize("centred", [False, True])
def test_loss_gradients_agree_with_finite_differences(form, weight, centred):
    flux = fluxes(4, dtype=torch.float64)
    model = small(sample=flux if centred else None)
    for name, parameter in model.named_parameters():
        model.zero_grad()
        loss = lambda: autoencoder_loss(model, flux, l1=1e-2, weight=weight, form=form).sum()  # noqa: E731
        loss().backward()
        gradient = parameter.grad.clone()
        direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        step = 1e-6
        with torch.no_grad():
            original = parameter.clone()
            values = []
            for sign in (1, -1):
                parameter.copy_(original + sign * step * direction)
                values.append(loss())
            parameter.copy_(original)
        numeric = (values[0] - values[1]) / (2 * step)
        assert (gradient * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-4, abs=1e-8), name


@pytest.mark.parametrize("form", ["paper", "exact"])
def test_every_trainable_parameter_receives_a_gradient(form):
    model = small((0, 1))
    flux = fluxes(64, dtype=torch.float64)
    autoencoder_loss(model, flux, l1=1e-4, weight=1e-2, form=form).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad.flatten(1).abs().max(1).values > 0).all(), name


# ---------------------------------------------------------------- training and transfer


def train(model, flux, seeds, epochs=4, learning_rate=1e-3, index=None):
    return fit(
        model,
        lambda m, rows: autoencoder_loss(m, flux[rows], l1=1e-7, weight=1e-4, form="paper"),
        np.arange(len(flux))[None] if index is None else index,
        epochs=epochs,
        batch_size=8,
        learning_rate=learning_rate,
        seeds=seeds,
        evaluate=lambda m: reconstruction_error(m, flux),
    )


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_autoencoders_trained_together_equal_each_trained_alone():
    flux = fluxes(40)
    stack = Autoencoder(PIXELS, 32, (5, 6, 7), bottleneck=4, sample=flux)
    together = train(stack, flux, [1])
    for member, seed in enumerate((5, 6, 7)):
        alone = Autoencoder(PIXELS, 32, (seed,), bottleneck=4, sample=flux)
        history = train(alone, flux, [1])
        bounded("errors apart", np.abs(history["test"][:, 0] / together["test"][:, member] - 1), below=1e-4)
        bounded("spectra apart", (alone(flux)[0] - stack(flux)[member]).detach().abs().max(), below=1e-5)


@pytest.mark.slow
def test_training_lowers_the_error_and_gives_the_same_bytes_twice():
    flux = fluxes(40)
    results = []
    for _ in range(2):
        model = Autoencoder(PIXELS, 32, (5,), bottleneck=4, sample=flux)
        history = train(model, flux, [1], epochs=40, learning_rate=3e-3)
        results.append((history, state(model)))
    (one, weights), (two, same) = results
    assert one["test"].shape == one["train"].shape == (40, 1)
    bounded("error of the last epoch over the first", one["test"][-1] / one["test"][0], below=0.5)
    assert one["test"].tobytes() == two["test"].tobytes() and one["train"].tobytes() == two["train"].tobytes()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    other = Autoencoder(PIXELS, 32, (5,), bottleneck=4, sample=flux)
    reordered = train(other, flux, [2], epochs=40, learning_rate=3e-3)
    assert not np.array_equal(reordered["test"], one["test"])


@pytest.mark.parametrize("frozen", [0, 4])
@pytest.mark.parametrize("form", ["paper", "exact"])
def test_fine_tuning_moves_what_is_free_and_nothing_else(frozen, form):
    config = load_profile(
        "smoke",
        {
            "transfer.epochs": 3,
            "transfer.batch_size": 8,
            "transfer.frozen_layers": frozen,
            "autoencoder.contractive": form,
        },
    )
    flux = fluxes(30, 1)
    model = small((0, 1), dtype=torch.float32, sample=fluxes(30))
    before = state(model)
    calls = []
    tuned, history = fine_tune(
        model,
        flux,
        np.arange(24),
        np.arange(24, 30),
        config,
        l1=torch.full((2,), 1e-4),
        seeds=[0, 0],
        progress=lambda: calls.append(1),
    )
    assert history["test"].shape == (3, 2) and len(calls) == 3
    after = state(tuned)
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value), name  # the original stays
        fixed = name.startswith("flux_") or (name.startswith("encoder.") and int(name.split(".")[1]) < frozen)
        if fixed:
            assert torch.equal(after[name], value), name
        else:
            assert (after[name] != value).flatten(1).any(1).all(), name
    assert all(p.requires_grad for p in model.parameters())
    bounded("error after over before", reconstruction_error(tuned, flux) / reconstruction_error(model, flux), below=1)


def test_reconstruction_error_is_the_mean_square_in_flux_units():
    model, flux = small((0, 1)), fluxes(5, dtype=torch.float64)
    expected = [((model(flux)[k] - flux) ** 2).mean().item() for k in range(2)]
    error = reconstruction_error(model, flux)
    assert error.tolist() == pytest.approx(expected, rel=1e-12) and not error.requires_grad


def test_autoencoders_with_batches_of_their_own_equal_each_trained_alone():
    """What the stages do: a stack in which every member has its seed for weights and batches."""
    flux, rows = fluxes(40), np.arange(40)[None]
    stack = Autoencoder(PIXELS, 32, (5, 6, 7), bottleneck=4, sample=flux)
    together = train(stack, flux, [5, 6, 7], index=np.repeat(rows, 3, 0))
    for member, seed in enumerate((5, 6, 7)):
        alone = Autoencoder(PIXELS, 32, (seed,), bottleneck=4, sample=flux)
        history = train(alone, flux, [seed], index=rows)
        bounded("errors apart", np.abs(history["test"][:, 0] / together["test"][:, member] - 1), below=1e-4)
        for name, value in take(stack, [member]).items():
            bounded("weights apart", (value - alone.state_dict()[name]).abs().max(), below=1e-5)


def test_members_are_taken_put_and_joined():
    stack, other = (Autoencoder(PIXELS, 16, seeds, bottleneck=4, sample=fluxes(9)) for seeds in ((1, 2, 3), (8, 9)))
    flux = fluxes(5, 1)
    before = stack(flux)
    torch.testing.assert_close(stack.members([2, 0])(flux), before[[2, 0]])
    again = join([take(stack, [k]) for k in range(3)], stack.shared)
    assert all(torch.equal(again[name], value) for name, value in stack.state_dict().items())
    put(stack, [0, 2], other)
    torch.testing.assert_close(stack(flux)[[0, 2]], other(flux))
    torch.testing.assert_close(stack(flux)[1], before[1])


def line_task(limit, calls):
    """Members that fit a line through nothing; member 0 fails as soon as its weight exceeds a limit."""

    def task(members):
        calls.append(list(members))
        fails = torch.tensor([limit if m == 0 else torch.inf for m in members])

        def loss(m, rows):
            size = m.weight.abs().flatten(1).amax(1)
            each = (m(rows[..., None].float() / 9) ** 2).mean((1, 2))
            return each * torch.where(size > fails, torch.nan, 1.0)  # NaN in its gradients, and in those of no other

        model = StackedLinear(1, 1, member_generators(members))
        index = np.repeat(np.arange(1, 9)[None], len(members), 0)
        return {"model": model, "loss": loss, "index": index, "seeds": list(members), "evaluate": None}

    return task


def test_what_diverges_begins_anew_at_a_lower_rate_and_harms_nobody():
    calls = []
    model, history = fit_members(line_task(10, calls), 3, epochs=30, batch_size=4, learning_rate=12.0)
    assert calls == [[0, 1, 2], [0]] and history["restarts"].tolist() == [1, 0, 0]
    assert np.isfinite(history["train"]).all() and history["train"].shape == (30, 3)
    healthy, undisturbed = fit_members(line_task(torch.inf, []), 3, epochs=30, batch_size=4, learning_rate=12.0)
    assert torch.equal(model.weight[1:], healthy.weight[1:])
    assert np.array_equal(history["train"][:, 1:], undisturbed["train"][:, 1:])
    alone, slower = fit_members(line_task(torch.inf, []), 1, epochs=30, batch_size=4, learning_rate=6.0)
    assert torch.equal(model.weight[0], alone.weight[0]) and np.array_equal(history["train"][:, :1], slower["train"])


def test_what_diverges_at_every_rate_is_refused_in_one_line():
    calls = []
    with pytest.raises(DTLError) as error:
        fit_members(line_task(-1, calls), 2, epochs=5, batch_size=4, learning_rate=1.0)
    line = "the loss of 1 of 2 networks is not finite, even at 1/8 of the rate; lower the learning rate"
    assert str(error.value) == f"field 'learning_rate': {line}"
    assert calls == [[0, 1], [0], [0], [0]]


def test_training_stops_when_no_member_is_left():
    task = line_task(-1, [])([0])
    history = fit(**task, epochs=5, batch_size=4, learning_rate=1.0)
    assert history["train"].shape == (1, 1) and np.isnan(history["train"]).all()


@given(st.integers(2, 400), st.floats(1e-5, 1), st.floats(0.01, 0.9))
@settings(derandomize=True, deadline=None)
def test_one_cycle_goes_up_once_and_down_to_nearly_nothing(n_steps, peak, warmup):
    rates = learning_rates("one-cycle", peak, n_steps, warmup)
    top = rates.argmax()
    assert rates.shape == (n_steps,) and rates[top] == pytest.approx(peak)
    assert top + 1 == max(1, round(warmup * n_steps))
    assert np.all(np.diff(rates[: top + 1]) >= 0) and np.all(np.diff(rates[top:]) <= 0)
    assert rates.min() >= 1e-4 * peak and (top + 1 == n_steps or rates[-1] == pytest.approx(1e-4 * peak))
    assert np.array_equal(learning_rates("constant", peak, n_steps), np.full(n_steps, peak))


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_an_interrupted_training_goes_on_to_the_same_bytes(tmp_path, schedule):
    flux, calls = fluxes(40), []

    def trained(checkpoint=None, stop=0):
        def progress():
            calls.append(1)
            if len(calls) == stop:
                raise Interrupted

        model = Autoencoder(PIXELS, 32, (5, 6), bottleneck=4, sample=flux)
        history = fit(
            model,
            lambda m, rows: autoencoder_loss(m, flux[rows], l1=1e-7, weight=1e-4),
            np.repeat(np.arange(40)[None], 2, 0),
            epochs=6,
            batch_size=16,
            learning_rate=1e-3,
            seeds=[1, 2],
            schedule=schedule,
            evaluate=lambda m: reconstruction_error(m, flux),
            progress=progress,
            checkpoint=checkpoint,
        )
        return history, state(model)

    whole, weights = trained()
    calls.clear()
    path = tmp_path / "new" / "state.safetensors"
    for stop in (3, 8):  # in the third epoch, then in the fifth: each start calls for the epochs behind it again
        with pytest.raises(Interrupted):
            trained(Checkpoint(path, every=0), stop)
        assert path.is_file() and len(load_arrays(path)["history.train"]) == (2 if stop == 3 else 4)
    calls.clear()
    history, same = trained(Checkpoint(path, every=0))
    assert len(calls) == 6 and not path.exists()
    for name in ("train", "test"):
        assert history[name].tobytes() == whole[name].tobytes()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    path.write_bytes(b"no state")
    assert trained(Checkpoint(path, every=1e9))[0]["test"].tobytes() == whole["test"].tobytes()


@pytest.mark.slow
def test_half_precision_trains_as_well_to_a_tenth():
    """bf16 has 8 bits of mantissa; losses are compared, not weights, which wander. TF32 is float32 on a processor."""
    flux, errors = fluxes(64), {precision: [] for precision in PRECISIONS}
    for precision, seed in itertools.product(PRECISIONS, range(6)):  # one network ends a twentieth from another's error
        torch.manual_seed(seed)
        model = Autoencoder(PIXELS, 32, (5 + seed,), bottleneck=4, sample=flux)
        history = fit(
            model,
            lambda m, rows: autoencoder_loss(m, flux[rows], l1=1e-7, weight=1e-4),
            np.arange(64)[None],
            epochs=30,
            batch_size=16,
            learning_rate=2e-3,
            seeds=[seed],
            precision=precision,
            evaluate=lambda m: reconstruction_error(m, flux),
        )
        errors[precision].append(history["test"][-1, 0])
        assert all(value.dtype == torch.float32 for value in model.state_dict().values())
    assert errors["tf32"] == errors["float32"] != errors["bf16"]
    ratio = np.exp(np.mean(np.log(errors["bf16"]) - np.log(errors["float32"])))
    bounded("bf16 over float32", ratio, below=1.1)  # a smaller error is not a fault: rounding acts as noise in training
    errors = {precision: np.mean(values) for precision, values in errors.items()}
    bounded("error over the variance", errors["float32"] / ((flux - flux.mean(0)) ** 2).mean(), below=0.5)


def test_a_step_is_that_of_torchs_own_adam():
    model, other = (torch.nn.Sequential(nn.Linear(PIXELS, 5), nn.ReLU(), nn.Linear(5, 1)) for _ in range(2))
    other.load_state_dict(model.state_dict())
    unused = nn.Parameter(torch.ones(2))  # gets no gradient
    model.register_parameter("unused", unused)
    rows, rates = fluxes(), [1e-3, 3e-3, 2e-4, 1e-2]
    step = training._Step(model, lambda network, x: (network(x) ** 2).mean()[None], "float32", rows.shape)
    adam = torch.optim.Adam(other.parameters(), eps=1e-7, fused=True)
    for rate in rates:
        step(rows, rate)
        adam.zero_grad()
        (other(rows) ** 2).mean().backward()
        adam.param_groups[0]["lr"] = rate
        adam.step()
    for ours, theirs in zip(model[:], other, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert torch.equal(unused, torch.ones(2))


def test_fit_shows_each_sample_once_an_epoch_to_each_member():
    seen = []
    model = StackedLinear(1, 1, member_generators([0, 1]))
    index = np.array([[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]])

    def loss(m, rows):
        seen.append(rows.numpy().copy())
        return (m(rows[..., None].float()) ** 2).mean((1, 2))

    fit(model, loss, index, epochs=2, batch_size=2, learning_rate=1e-3, seeds=[0, 1])
    assert [s.shape[1] for s in seen] == [2, 2, 1, 2, 2, 1]
    epochs = [np.concatenate(seen[k : k + 3], axis=1) for k in (0, 3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), index)
    assert not np.array_equal(*epochs) and not np.array_equal(epochs[0][0] + 10, epochs[0][1])


def test_device_is_the_processor_without_a_graphics_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(DTLError, match="field 'device': no CUDA device was found; choose cpu or auto"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == choose_device("cuda").type == "cuda" and choose_device("cpu").type == "cpu"


# ---------------------------------------------------------------- regressors


def latents(n=60, seed=0):
    """Latents with one dead unit and one that hardly moves, and two targets that depend on them."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(2, 1, (n, 6)).astype(np.float32)
    latent[:, 2] = 0.0
    latent[:, 4] = 3.0 + 1e-9 * rng.normal(size=n)
    target = np.stack([3500 + 200 * latent[:, 0], 5 + 0.1 * latent[:, 1] * latent[:, 3]])
    return torch.as_tensor(latent), torch.as_tensor(target.astype(np.float32))


def regressor(seeds=(0, 1), latent=None, target=None):
    made = latents()
    latent = made[0] if latent is None else latent
    target = made[1] if target is None else target
    return Regressor(latent, target, seeds, filters=(4, 3), units=(12, 8, 6))


def test_live_units_counts_what_varies():
    assert live_units(latents()[0]).tolist() == [True, True, False, True, False, True]
    assert not live_units(torch.zeros(5, 3)).any()


@pytest.mark.parametrize("shape", [(1, 3), (4, 2)])
def test_pair_convolution_is_conv1d_with_kernel_two_and_padding_same(shape):
    n_in, n_out = shape
    layer = _PairConvolution(n_in, n_out, member_generators([0, 1]))
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, 7, n_in, generator=torch.Generator().manual_seed(0))
    y = layer(x)
    assert y.shape == (2, 5, 7, n_out)
    for member in range(2):
        oracle = nn.Conv1d(n_in, n_out, 2, padding="same")
        with torch.no_grad():
            oracle.weight[:, :, 0] = layer.weight[member, :n_in].T
            oracle.weight[:, :, 1] = layer.weight[member, n_in:].T
            oracle.bias.copy_(layer.bias[member, 0])
        expected = oracle(x[member].transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(y[member], expected, rtol=1e-5, atol=1e-5)


def test_regressor_has_the_papers_layers():
    model = Regressor(torch.randn(50, 32), torch.randn(2, 50), (0, 1))
    assert [tuple(layer.weight.shape[1:]) for layer in model.convolutions] == [(2, 64), (128, 32)]
    assert [tuple(layer.matrix.shape[1:]) for layer in model.dense] == [(1024, 256), (256, 128), (128, 64), (64, 1)]
    assert model(torch.randn(9, 32)).shape == (2, 9)


def test_regressor_standardises_inputs_and_targets():
    latent, target = latents()
    model = regressor()
    live = live_units(latent)
    z = (latent - model.latent_mean[1]) / model.latent_spread[1]
    torch.testing.assert_close(z[:, live].std(0), torch.ones(4))
    torch.testing.assert_close(model.latent_spread[0, 0, ~live], torch.ones(2))
    assert z[:, ~live].abs().max() < 1e-3
    spread, mean = target.std(1)[:, None], target.mean(1)[:, None]
    torch.testing.assert_close(model(latent), model.standardised(latent) * spread + mean)
    # in other units of the target: the same network, the same loss
    other = regressor(target=1000 * target - 7)
    torch.testing.assert_close(other.standardised(latent), model.standardised(latent))
    torch.testing.assert_close(
        regression_loss(other, latent, 1000 * target - 7), regression_loss(model, latent, target), rtol=1e-3, atol=1e-5
    )


def test_regressors_on_latents_of_their_own_equal_each_alone():
    (one, target), (two, _) = latents(seed=0), latents(seed=1)
    stack = regressor(latent=torch.stack([one, two]), target=target)
    for member, latent in enumerate((one, two)):
        alone = regressor(seeds=(member,), latent=latent, target=target[[member]])
        torch.testing.assert_close(stack(torch.stack([one, two]))[member], alone(latent)[0])
        torch.testing.assert_close(stack.predict(torch.stack([one, two]), 7)[member], alone(latent)[0])


def test_dead_units_never_give_infinities():
    latent, target = latents()
    model = regressor()
    wild = latent.clone()
    wild[:, 2] = 1e-3  # a unit that was dead in training wakes up
    for value in (model(latent), model(wild), regression_loss(model, wild, target)):
        assert torch.isfinite(value).all()
    all_dead = regressor(latent=torch.zeros(60, 6))
    assert torch.isfinite(all_dead(latent)).all()
    constant = regressor(target=torch.full((2, 60), 5.0))
    assert torch.isfinite(regression_loss(constant, latent, torch.full((2, 60), 5.0))).all()


def train_regressor(model, latent, target, index, seeds, epochs=4):
    def loss(m, rows):
        return regression_loss(m, latent[rows], target.gather(1, rows))

    return fit(model, loss, index, epochs=epochs, batch_size=16, learning_rate=1e-3, seeds=seeds)


def test_regressors_trained_together_with_their_own_splits_equal_each_alone():
    latent, target = latents()
    index = np.stack([stratified_split(row.numpy(), 0.3, seed)[0][:40] for seed, row in enumerate(target)])
    assert not np.array_equal(*index)
    stack = regressor((3, 4))
    together = train_regressor(stack, latent, target, index, [8, 9])["train"]
    for member in range(2):
        alone = regressor((3 + member,), latent, target[member : member + 1])
        history = train_regressor(alone, latent, target[member : member + 1], index[member : member + 1], [8 + member])
        bounded("losses apart", np.abs(history["train"][:, 0] / together[:, member] - 1), below=1e-4)
        apart = alone.standardised(latent)[0] - stack.standardised(latent)[member]
        bounded("estimates apart", apart.detach().abs().max(), below=1e-5)


@pytest.mark.slow
def test_every_regressor_parameter_receives_a_gradient_and_training_learns():
    latent, target = latents()
    model = regressor()
    regression_loss(model, latent, target).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad.flatten(1).abs().max(1).values > 0).all(), name
    everything = np.tile(np.arange(60), (2, 1))
    losses = train_regressor(model, latent, target, everything, [0, 1], epochs=60)["train"]
    bounded("loss of the last epoch over the first", losses[-1] / losses[0], below=0.4)
    again = regressor()
    same = train_regressor(again, latent, target, everything, [0, 1], epochs=60)["train"]
    assert losses.tobytes() == same.tobytes()
    # members start from their own seeds
    one, two = (copy.deepcopy(regressor((s,), latent, target[:1])).dense[0].weight for s in (0, 1))
    assert not torch.equal(one, two)


def test_regression_loss_gradient_agrees_with_gradcheck():
    latent, target = (value.double() for value in latents(8))
    model = regressor(latent=latent, target=target).double()
    weight = model.dense[-1].weight.detach().clone().requires_grad_()

    def loss(w):
        return torch.func.functional_call(model, {"dense.3.weight": w}, (latent,))

    assert torch.autograd.gradcheck(loss, weight)


# ---------------------------------------------------------------- splits


@PROPERTY
@given(st.integers(2, 300), st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_split_holds_every_row_once(n, fraction, seed):
    train_rows, test_rows = split(n, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train_rows, test_rows])), np.arange(n))
    assert len(test_rows) == max(1, round(n * fraction))
    np.testing.assert_array_equal(train_rows, np.sort(train_rows))
    np.testing.assert_array_equal(split(n, fraction, seed)[1], test_rows)


@PROPERTY
@given(
    st.lists(st.floats(-1e3, 1e3) | st.integers(0, 3).map(float), min_size=20, max_size=200),
    st.floats(0.2, 0.5),
    st.integers(0, 99),
)
def test_stratified_split_is_disjoint_and_of_the_right_size(target, fraction, seed):
    train_rows, test_rows = stratified_split(np.array(target), fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train_rows, test_rows])), np.arange(len(target)))
    assert abs(len(test_rows) - fraction * len(target)) <= 5  # half a row in each of ten strata


@pytest.mark.parametrize("kind", ["continuous", "skewed", "discrete"])
def test_stratified_split_keeps_the_distribution(kind):
    rng = np.random.default_rng(0)
    target = {
        "continuous": rng.normal(size=1000),
        "skewed": rng.exponential(size=1000) ** 2,
        "discrete": rng.choice([1.5, 2, 5, 10, 30], 1000, p=[0.6, 0.2, 0.1, 0.06, 0.04]),
    }[kind]
    for seed in range(5):
        train_rows, test_rows = stratified_split(target, 0.3, seed)
        # quantile by quantile: a tenth of the largest difference that an unstratified split of this size may show
        assert ks_2samp(target[train_rows], target[test_rows]).statistic < 0.045
    assert not np.array_equal(stratified_split(target, 0.3, 0)[1], stratified_split(target, 0.3, 1)[1])

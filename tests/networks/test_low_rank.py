"""Autoencoders trained in a basis of principal components: the same networks, losses and penalties as on pixels."""

import numpy as np
import pytest
import torch
from bounds import bounded

from dtl_core.networks.autoencoder import Autoencoder, autoencoder_loss, contractive_penalty
from dtl_core.networks.fine_tuning import reconstruction_error
from dtl_core.networks.low_rank import LowRankAutoencoder
from dtl_core.networks.stacks import put
from dtl_core.networks.training import fit, fit_members

PIXELS, RANK = 60, 6


def spectra(n=80, seed=0, dtype=torch.float64):
    """Spectra (n, PIXELS) whose logits have RANK - 1 components."""
    generator = torch.Generator().manual_seed(seed)
    pixel = torch.linspace(0, 1, PIXELS, dtype=torch.float64)
    waves = torch.stack([torch.sin((k + 1) * 3 * pixel + k) for k in range(RANK - 1)])
    logits = 1 + 0.2 * torch.randn(n, RANK - 1, generator=generator, dtype=torch.float64) @ waves
    return (1.1 * torch.sigmoid(logits)).to(dtype)


def pair(flux, seeds=(0, 1), components=RANK, **options):
    """Untrained autoencoders, and the same in a basis with weights that differ from the initial ones."""
    full = Autoencoder(PIXELS, 32, seeds, bottleneck=4, sample=flux, **options).to(flux.dtype)
    reduced = LowRankAutoencoder(full, flux, components)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in reduced.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(flux.dtype)
    return full, reduced


def test_the_expanded_network_gives_the_same_latents_and_spectra():
    flux, new = spectra(), spectra(seed=1)
    _, reduced = pair(flux)
    full, inputs = reduced.expanded(), reduced.coefficients(new)
    assert inputs.shape == (80, RANK) and full.encoder[0].matrix.shape == (2, PIXELS, 32)
    torch.testing.assert_close(full.encode(new), reduced.encode(inputs), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(full(new), reduced(inputs), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(reconstruction_error(full, new), reconstruction_error(reduced, new, inputs))
    assert type(full) is Autoencoder and all(p.requires_grad and p.is_contiguous() for p in full.parameters())
    assert list(full.state_dict()) == list(Autoencoder(PIXELS, 32, (0, 1), bottleneck=4).state_dict())


@pytest.mark.parametrize(("weight", "form"), [(0.0, "paper"), (1e-2, "paper"), (1e-2, "exact")])
def test_losses_are_those_of_the_expanded_network(weight, form):
    flux = spectra()
    _, reduced = pair(flux)
    full, inputs, options = reduced.expanded(), reduced.coefficients(flux), {"l1": 1e-3, "weight": weight, "form": form}
    expected = autoencoder_loss(full, flux, **options)
    torch.testing.assert_close(autoencoder_loss(reduced, flux, inputs=inputs, **options), expected, rtol=1e-8, atol=0)
    if weight:
        assert (contractive_penalty(full, full.hidden(flux), form) * weight > 1e-4 * expected).all()


def test_gradients_are_those_of_the_pixels_projected_onto_the_components():
    flux = spectra()
    _, reduced = pair(flux)
    full, inputs, options = reduced.expanded(), reduced.coefficients(flux), {"l1": 1e-3, "weight": 0.0}
    autoencoder_loss(full, flux, **options).sum().backward()
    autoencoder_loss(reduced, flux, inputs=inputs, **options).sum().backward()

    def slope(layer):
        return layer.weight.grad.transpose(1, 2) if layer.gathers else layer.weight.grad

    of_pixels = reduced.patterns_in @ slope(full.encoder[0])
    torch.testing.assert_close(slope(reduced.encoder[0]), of_pixels, rtol=1e-6, atol=1e-12)
    of_pixels = slope(full.decoder[-1]) @ reduced.patterns_out.T
    torch.testing.assert_close(slope(reduced.decoder[-1]), of_pixels, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(slope(reduced.encoder[2]), slope(full.encoder[2]), rtol=1e-6, atol=1e-12)


def test_initial_weights_are_those_of_the_given_network_within_the_components():
    flux = spectra()
    full = Autoencoder(PIXELS, 32, (3,), bottleneck=4, sample=flux).to(flux.dtype)
    reduced = LowRankAutoencoder(full, flux, PIXELS)  # all components: nothing is lost
    torch.testing.assert_close(reduced.encode(reduced.coefficients(flux)), full.encode(flux))
    torch.testing.assert_close(reduced.expanded().decoder[-1].matrix, full.decoder[-1].matrix)
    few = LowRankAutoencoder(full, flux, 2 * RANK)
    apart = few.encode(few.coefficients(flux)) - full.encode(flux)
    assert 0 < apart.std() < 0.05 * full.encode(flux).std()
    assert not torch.allclose(few.expanded().encoder[0].matrix, full.encoder[0].matrix, atol=1e-3)


def test_the_original_is_not_modified_and_two_trainings_give_the_same_bytes():
    flux, index = spectra(dtype=torch.float32), np.arange(80)[None]
    full = Autoencoder(PIXELS, 64, (0,), bottleneck=8, sample=flux)
    before = {name: value.clone() for name, value in full.state_dict().items()}
    options = {"epochs": 40, "batch_size": 10, "learning_rate": 3e-3, "seeds": [0]}
    weights = []
    for _ in range(2):
        reduced = LowRankAutoencoder(full, flux, RANK)
        inputs = reduced.coefficients(flux)
        history = fit(
            reduced,
            lambda m, rows, inputs=inputs: autoencoder_loss(m, flux[rows], inputs=inputs[rows], l1=0.0, weight=0.0),
            index,
            **options,
        )
        weights.append(reduced.expanded().state_dict())
    assert all(torch.equal(value, before[name]) for name, value in full.state_dict().items())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    bounded("loss of the last epoch over the first", history["train"][-1] / history["train"][0], below=0.3)


def test_a_diverging_member_is_replaced_in_the_basis():
    flux = spectra(dtype=torch.float32)
    _, reduced = pair(flux, seeds=(1, 2, 3))
    _, other = pair(flux, seeds=(8,))
    inputs = reduced.coefficients(flux)
    before = reduced(inputs)
    put(reduced, [1], other)
    torch.testing.assert_close(reduced(inputs)[[1]], other(inputs))
    torch.testing.assert_close(reduced(inputs)[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(reduced.members([2, 0])(inputs), reduced(inputs)[[2, 0]])

    def task(members):
        model = LowRankAutoencoder(Autoencoder(PIXELS, 32, members, bottleneck=4, sample=flux), flux, RANK)
        return {
            "model": model,
            "loss": lambda m, rows: autoencoder_loss(m, flux[rows], inputs=inputs[rows], l1=0.0, weight=0.0),
            "index": np.repeat(np.arange(80)[None], len(members), 0),
            "seeds": members,
            "evaluate": lambda m: reconstruction_error(m, flux, inputs),
        }

    together, history = fit_members(task, 3, epochs=4, batch_size=10, learning_rate=3e-3)
    alone, own = fit_members(lambda _: task([2]), 1, epochs=4, batch_size=10, learning_rate=3e-3)
    bounded("errors apart", np.abs(own["test"][:, 0] / history["test"][:, 2] - 1), below=1e-3)
    bounded("spectra apart", (alone(inputs)[0] - together(inputs)[2]).detach().abs().max(), below=1e-5)

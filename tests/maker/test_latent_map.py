"""The map of the latents: each point has its own spectrum, and what the autoencoder makes of it."""

import json
import re

import numpy as np
import pytest
import torch

from book.maker import latent_map
from book.maker.sliders import unpack
from dtl_core.spectra import operators

pytestmark = pytest.mark.uses_smoke


@pytest.fixture(scope="module")
def page(smoke):
    return latent_map.latent_files(smoke)["latent_map.md"]


def held(page, name):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[1])


def spectra_of(data, name):
    return unpack(data[name], data["first"][1] + len(data["names"]))


def test_points_and_spectra_are_those_of_the_run(smoke, page):
    data, figure = held(page, "latent-data"), held(page, "plot-latent")
    synthetic, stars = figure["data"]
    spectra, step, labels = spectra_of(data, "spectra"), smoke.config.window.step, smoke.synthetic["labels"]
    first, then = data["first"]
    assert first == 0 and then == len(synthetic["text"]) and len(spectra) == then + len(data["names"])
    assert stars["ids"] == data["names"] == smoke.stars
    np.testing.assert_allclose(spectra[then:], seen(smoke.observed, step), atol=0.003)
    for spectrum, text in zip(spectra[:20], synthetic["text"], strict=False):
        told = [float(value) for value in re.findall(r" (-?\d+\.?\d*)", text)]
        (row,) = np.flatnonzero(np.all(np.abs(labels - told) < 0.006, axis=1))
        np.testing.assert_allclose(spectrum, seen(smoke.synthetic["flux"][[row]], step)[0], atol=0.003)


def seen(flux, step):
    """Spectra in the pixels of the page, and within its range."""
    return np.clip(operators.binned(flux, step), 0, latent_map.TOP)


def test_outputs_are_reconstructions(smoke, page):
    data = held(page, "latent-data")
    with torch.no_grad():
        outputs = smoke.autoencoder(0, tuned=True)(torch.from_numpy(smoke.observed[:5]))[0].numpy()
    expected = seen(outputs, smoke.config.window.step)
    np.testing.assert_allclose(spectra_of(data, "outputs")[data["first"][1] :][:5], expected, atol=0.003)


def test_a_point_shows_its_spectrum_in_the_browser(built, chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((built / "generated" / "latent_map.html").as_uri())
    page.wait_for_selector("div.interactive .scatterlayer .point")
    drawn = page.locator(".latent-map path.model").first
    before = drawn.get_attribute("d")
    page.locator(".latent-map select").select_option("3")
    after = drawn.get_attribute("d")
    assert before and after and before != after
    place = page.locator("div.interactive .scatterlayer .trace").first.locator("path.point").first.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_function("document.querySelector('.latent-map .which').textContent.startsWith('synthetic')")
    assert drawn.get_attribute("d") not in (before, after)
    context.close()

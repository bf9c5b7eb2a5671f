"""The map of the latents: each point has its own spectrum, and what the autoencoder makes of it."""

import base64
import json
import re

import numpy as np
import pytest

from book.maker import latent_map
from dtl_core.spectra import operators

pytestmark = pytest.mark.uses_smoke


@pytest.fixture(scope="module")
def page(smoke):
    return latent_map.latent_files(smoke)["latent_map.md"]


def held(page, name):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[1])


def unpacked(text, n_pixels):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, n_pixels) / 255 * latent_map.TOP


def test_points_and_spectra_are_those_of_the_run(smoke, page):
    data, figure = held(page, "latent-data"), held(page, "plot-latent")
    synthetic, stars = figure["data"]
    spectra = unpacked(data["spectra"], len(data["wavelength"]))
    first, then = data["first"]
    assert first == 0 and then == len(synthetic["text"]) and len(spectra) == then + len(data["names"])
    step = smoke.config.window.step
    expected = np.clip(operators.binned(smoke.observed, step), 0, latent_map.TOP)
    np.testing.assert_allclose(spectra[then:], expected, atol=0.003)
    assert stars["ids"] == data["names"] and data["names"][: len(smoke.truth)] == list(smoke.truth["karmn"])
    known = {round(float(row[0]), 0): row for row in smoke.synthetic["labels"]}
    for text in synthetic["text"][:5]:
        assert float(re.search(r"Teff (\d+)", text)[1]) in known


def test_outputs_are_reconstructions(page):
    data = held(page, "latent-data")
    spectra, outputs = (unpacked(data[name], len(data["wavelength"])) for name in ("spectra", "outputs"))
    rms = np.sqrt(np.mean((spectra - outputs) ** 2, axis=1))
    rolled = np.sqrt(np.mean((spectra - np.roll(outputs, 1, axis=0)) ** 2, axis=1))
    assert np.median(rms) < 0.6 * np.median(rolled)


def test_bytes_are_fluxes_within_half_a_step():
    flux = np.random.default_rng(0).uniform(-0.1, 1.5, (3, 7))
    again = unpacked(latent_map.pack(flux), 7)
    np.testing.assert_allclose(again, np.clip(flux, 0, latent_map.TOP), atol=0.5 * latent_map.TOP / 255 + 1e-9)


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

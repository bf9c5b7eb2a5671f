"""The built book in a real browser: no complaint, no request that leaves the machine, nothing out of reach."""

import re

import pytest
from astropy.table import Table
from browser import SIZES, look, look_at_all, serve, wrong

pytestmark = [pytest.mark.uses_smoke, pytest.mark.slow]


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport=dict(zip(("width", "height"), SIZES["desktop"], strict=True)))
    yield context.new_page()
    context.close()


def test_pages_are_quiet_accessible_and_fit(built, chromium):
    # the pages of the reference are all made alike: three stand for them
    some = r"^(?!generated/reference/)|dtl_core/(models|spectra/operators|bridging/methods)/index\.html"
    # axe takes seconds: it checks one page of each kind of markup; every night all pages are checked in both themes
    checked = (
        "generated/(fidelity|models|quick_look|sliders|stars/|settings)|dtl_core/models|notebooks/07|method|results"
    )
    found = look_at_all(chromium, built, only=some, whole="intro|08_|catalogue|explore_hr", axe=checked)
    assert len(found) >= 40 and any("dtl_core/models/" in name for name in found)
    assert not {name: result for name, result in found.items() if wrong(result)}


def test_the_catalogue_is_searched_and_sorted_from_a_disk(built, page):
    page.goto((built / "generated" / "catalogue.html").as_uri())
    page.wait_for_selector("div.dt-container")
    rows = "#run tbody tr"
    assert page.locator(rows).count() == 25
    page.locator("div.catalogue input").first.fill("S007")
    assert page.locator(rows).count() == 1 and "S007" in page.locator(rows).inner_text()
    page.locator("div.catalogue input").first.fill("")
    page.locator("#run thead th", has_text="Teff").first.click()
    values = [float(v) for v in page.eval_on_selector_all("#run td[data-order]:nth-child(3)", _ORDER)]
    assert len(values) == 25 and values == sorted(values)
    link = page.locator("a.download", has_text="VOTable").first.get_attribute("href")
    assert len(Table.read(built / "generated" / link, format="votable")) > 250


_ORDER = "cells => cells.map(cell => cell.dataset.order)"


def test_dark_theme_has_dark_figures_and_readable_catalogues(built, page):
    page.emulate_media(color_scheme="dark")
    page.goto((built / "generated" / "explore_hr.html").as_uri())
    page.wait_for_selector("div.interactive .main-svg")
    paper = page.locator("div.interactive .main-svg").first.evaluate("svg => svg.style.background")
    assert luminance(paper) < 0.1
    text = page.locator("div.interactive .xtitle").evaluate("title => title.style.fill")
    assert luminance(text) > 0.4
    page.evaluate("document.documentElement.dataset.theme = 'light'")  # as the button of the theme does
    page.wait_for_function("document.querySelector('div.interactive .main-svg').style.background !== " + repr(paper))
    page.goto((built / "generated" / "catalogue.html").as_uri())
    page.wait_for_selector("div.dt-container")
    colours = page.eval_on_selector_all("#run td, div.catalogue input, div.catalogue select", _COLOUR)
    assert len(colours) > 100 and min(map(luminance, colours)) > 0.4


_COLOUR = "elements => elements.map(element => getComputedStyle(element).color)"


def luminance(colour):
    """Mean of the channels of a CSS colour, from 0 to 1."""
    return sum(int(value) for value in re.findall(r"\d+", colour)[:3]) / 765


def test_no_button_sends_a_chart_away(built, page):
    page.goto((built / "generated" / "explore_hr.html").as_uri())
    page.wait_for_selector("div.interactive .modebar-btn", state="attached")
    names = page.eval_on_selector_all(".modebar-btn", "buttons => buttons.map(b => b.dataset.title || '')")
    assert len(names) > 3 and not [name for name in names if "share" in name.lower() or "cloud" in name.lower()]
    assert page.evaluate("document.querySelector('div.interactive')._context.plotlyServerURL") == ""


def test_stars_selected_in_one_figure_are_marked_in_others_and_alone_in_the_catalogue(built, page):
    page.goto((built / "generated" / "explore_hr.html").as_uri())
    page.wait_for_selector("div.interactive .scatterlayer .point")
    box = page.locator("div.interactive .plot-container .nsewdrag").bounding_box()
    page.evaluate("Plotly.relayout(document.querySelector('div.interactive'), {dragmode: 'select'})")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 5, steps=5)
    page.mouse.up()
    page.wait_for_selector("p.selection:not([hidden])")
    number = int(re.match(r"\d+", page.locator("p.selection").inner_text())[0])
    chosen = set(page.evaluate("JSON.parse(localStorage.getItem('dtl-selected-stars'))"))
    assert 3 < number < 286 and number == len(chosen)
    page.goto((built / "generated" / "explore_toomre.html").as_uri())
    page.wait_for_selector("div.interactive .scatterlayer .point")
    page.wait_for_selector("p.selection:not([hidden])")
    marked = page.evaluate("document.querySelector('div.interactive').data.filter(t => t.ids)"
                           ".flatMap(t => t.selectedpoints.map(k => t.ids[k]))")  # fmt: skip
    assert set(marked) <= chosen and len(marked) > 3
    page.goto((built / "generated" / "catalogue.html").as_uri())
    page.wait_for_selector("div.dt-container")
    shown = [set(table.locator("tbody tr td:first-child").all_inner_texts())
             for table in page.locator("div.catalogue table[id]").all()]  # fmt: skip
    followed = [stars for stars in shown if stars <= chosen]  # the published stars may be those of the other catalogue
    assert all(followed) and len(followed) == page.locator("p.selection:visible").count() > 0
    assert all(len(stars) == 25 and not stars & chosen for stars in shown if stars not in followed)
    page.locator("p.selection:visible button").first.click()
    page.wait_for_function("![...document.querySelectorAll('p.selection')].some((line) => !line.hidden)")
    assert page.locator("#run tbody tr").count() == 25
    page.evaluate("localStorage.setItem('dtl-selected-stars', JSON.stringify(['not here']))")
    page.reload()
    page.wait_for_selector("div.dt-container")
    assert page.locator("#run tbody tr").count() == 25 and not page.locator("p.selection:visible").count()


def test_print_has_all_rows_and_columns_of_a_catalogue(built, page):
    page.goto((built / "generated" / "catalogue.html").as_uri())
    page.wait_for_selector("div.dt-container")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#run tbody tr").count() > 250
    page.set_viewport_size({"width": 794, "height": 1123})  # A4
    page.emulate_media(media="print")
    wide = "table => table.getBoundingClientRect().right - document.documentElement.clientWidth"
    assert page.locator("#run").evaluate(wide) <= 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("#run tbody tr").count() == 25


def test_the_paper_s_numbers_are_a_list_on_a_phone(built, page):
    page.set_viewport_size(dict(zip(("width", "height"), SIZES["phone"], strict=True)))
    page.goto((built / "generated" / "fidelity.html").as_uri())
    cells = page.locator("div.statements td")
    empty = cells.evaluate_all("cells => cells.filter(cell => !cell.innerText && cell.getClientRects().length).length")
    assert cells.count() > 200 and empty == 0
    widths = cells.evaluate_all("cells => cells.map(cell => cell.getBoundingClientRect().width).filter(Boolean)")
    assert min(widths) > 250


def test_a_star_says_its_name_and_print_has_a_picture(built, page):
    page.goto((built / "generated" / "explore_toomre.html").as_uri())
    page.wait_for_selector("div.interactive .scatterlayer .point")
    page.evaluate("const box = document.querySelector('div.interactive'); Plotly.Fx.hover(box, [{curveNumber: "
                  "box.data.findIndex(t => t.mode === 'markers'), pointNumber: 0}])")  # fmt: skip
    text = page.locator("div.interactive .hoverlayer").text_content()
    assert "Teff" in text and "km/s" in text
    picture = page.locator("img.print-only")
    assert not picture.is_visible() and page.locator("div.interactive").is_visible()
    page.emulate_media(media="print")
    assert picture.is_visible() and not page.locator("div.interactive").is_visible()


def test_without_scripts_the_picture_and_the_table_are_there(built, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((built / "generated" / "explore_hr.html").as_uri())
    assert page.locator("img.print-only").is_visible() and not page.locator("div.interactive").is_visible()
    page.goto((built / "generated" / "catalogue.html").as_uri())
    assert page.locator("#run tbody tr").count() > 250
    context.close()


def test_from_the_landing_page_to_a_notebook_with_a_figure(built, page):
    with serve(built) as root:
        page.goto(root + "index.html")
        page.wait_for_url("**/intro.html")
        found = look(page, page.url, axe=False)
        assert page.locator("h1:visible").count() == 1
        page.locator("nav.bd-links a", has_text="Your own star").first.click()
        page.wait_for_url("**/08_your_own_star.html")
        figure = page.locator("figure img").first
        assert figure.evaluate("image => image.complete && image.naturalWidth > 300")
        assert not found["console"] and not found["loads"]


def test_search_finds_a_page_and_its_words(built, page):
    with serve(built) as root:
        found = look(page, root + "search.html?q=anchors", axe=False)
        page.wait_for_selector("#search-results ul.search li a", timeout=20_000)
        titles = page.locator("#search-results ul.search li a").all_inner_texts()
        assert any("instrument" in title.lower() for title in titles), titles
        assert not found["console"] and not found["loads"]


def test_a_notebook_can_be_launched_elsewhere(built, page):
    page.goto((built / "notebooks" / "08_your_own_star.html").as_uri())
    links = [a.get_attribute("href") for a in page.locator("a[href]").all()]
    wanted = "main.*notebooks/08_your_own_star.ipynb"
    assert any(re.search(rf"mybinder.org/v2/gh/dtl-mdwarfs/dtl-mdwarfs/{wanted}", link) for link in links)
    colab = "colab.research.google.com/github/dtl-mdwarfs/dtl-mdwarfs/blob/"
    assert any(re.search(colab + wanted, link) for link in links)


def test_the_sliders_draw_a_spectrum_without_a_server(built, page):
    messages, loads = [], []
    page.on("pageerror", lambda error: messages.append(str(error)))  # the theme's fonts complain of a disk
    page.on("request", lambda r: None if re.match("(file|data|blob):", r.url) else loads.append(r.url))
    page.goto((built / "generated" / "sliders.html").as_uri())
    page.wait_for_function("window.dtlSliders && window.dtlSliders.spectrum")
    before = page.evaluate("Array.from(window.dtlSliders.spectrum(3500, 4.8, 0, 2))")
    after = page.evaluate("Array.from(window.dtlSliders.spectrum(3000, 5.1, 0, 2))")
    assert len(before) == len(after) > 300 and max(abs(a - b) for a, b in zip(before, after, strict=True)) > 0.05
    slider = page.locator("input[type=range]").first
    shown = page.locator("output").first.inner_text()
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"document.querySelector('output').innerText !== {shown!r}")
    assert not messages and not loads


def test_a_spectrum_is_estimated_from_a_disk(built, page):
    messages, loads = [], []
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda r: None if re.match("(file|data|blob):", r.url) else loads.append(r.url))
    page.goto((built / "generated" / "quick_look.html").as_uri())
    page.get_by_role("button", name="take the example").click()
    page.wait_for_selector(".quick-look tbody tr", timeout=20_000)
    values = page.locator(".quick-look tbody td:nth-child(2)").all_inner_texts()
    assert len(values) == 4 and 2500 < float(values[0]) < 4500
    assert not messages and not loads

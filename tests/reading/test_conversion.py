"""Spectra in memory: specutils, astropy tables and pandas give what the same spectrum in a file gives."""

import dataclasses
import time

import numpy as np
import pytest
import specutils
from astropy import units
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.table import QTable, Table

from dtl_core.errors import ConfigError, DataError
from dtl_core.models import loading
from dtl_core.preparing import chain
from dtl_core.reading import readers
from dtl_core.reading.conversion import from_specutils, from_table
from dtl_core.synthetic.examples import write_examples

META = {"star": "GJ 1", "resolving_power": 94_600, "frame": "barycentric"}


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    return readers.read(write_examples(tmp_path_factory.mktemp("stars"))[0][0])


@pytest.fixture(scope="module")
def model():
    return loading.load()


def theirs(star, axis=None, uncertainty=None, meta=META, **more):
    axis = star.wavelength * units.AA if axis is None else axis
    return specutils.Spectrum(flux=star.flux * units.ct, spectral_axis=axis, uncertainty=uncertainty, meta=meta, **more)


def test_a_spectrum_of_specutils_is_predicted_at_once_and_as_its_file(model, star):
    begin = time.perf_counter()
    wanted, found = model.predict(star), model.predict(readers.to_specutils(star))
    assert time.perf_counter() - begin < 5
    assert found.colnames == wanted.colnames and list(found["star"]) == list(wanted["star"])
    for name in ("Teff", "logg", "[M/H]", "vsini", "snr", "radial_velocity"):
        assert found[name] == wanted[name], name
    assert found["warnings"] == wanted["warnings"] and found["file"] == wanted["file"]


def test_there_and_back_nothing_is_lost(star):
    full = dataclasses.replace(
        star, mask=np.arange(len(star.flux)) % 50 == 0, telluric=np.arange(len(star.flux)) % 40 == 3, berv=12.5,
        frame="observatory", time=2459000.5, rv=-3.0, instrument="HPF", notes=("one", "two"), file="a/b.fits",
    )  # fmt: skip
    again = from_specutils(readers.to_specutils(full))
    for field in dataclasses.fields(full):
        before, after = getattr(full, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before, field.name)
        else:
            assert after == before, field.name


@pytest.mark.parametrize("unit", ["nm", "um", "Hz", "1 / cm", "eV"])
def test_the_axis_may_be_any_that_is_equivalent_to_a_wavelength(star, unit):
    axis = (star.wavelength * units.AA).to(unit, units.spectral())
    back = slice(None, None, -1) if axis[0] > axis[-1] else slice(None)
    found = from_specutils(theirs(dataclasses.replace(star, flux=star.flux[back]), axis[back]), medium="vacuum")
    np.testing.assert_allclose(found.wavelength, star.wavelength, rtol=1e-12)
    np.testing.assert_array_equal(found.flux, star.flux)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_uncertainties_of_all_kinds_become_standard_deviations(star, kind):
    power = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}[kind]
    found = from_specutils(theirs(star, uncertainty=kind(star.uncertainty**power)))
    np.testing.assert_allclose(found.uncertainty, star.uncertainty, rtol=1e-9)
    milli = StdDevUncertainty(star.uncertainty / 1000, unit=units.Unit("1000 ct"))
    np.testing.assert_allclose(from_specutils(theirs(star, uncertainty=milli)).uncertainty, star.uncertainty, rtol=1e-9)


def test_facts_come_from_meta_its_header_or_the_call(star):
    header = {"OBJECT": "GJ 2", "R": 80_000, "BERV": 3.0, "SPECSYS": "TOPOCENT", "AIRORVAC": "vacuum", "HISTORY": [1]}
    found = from_specutils(theirs(star, meta={"header": header, "other": object()}))
    assert (found.star, found.resolving_power, found.berv, found.frame) == ("GJ 2", 80_000, 3.0, "observatory")
    quantity = from_specutils(theirs(star, meta=META | {"berv": 3000 * units.m / units.s}))
    assert quantity.berv == 3.0 and quantity.frame == "barycentric"
    assert from_specutils(theirs(star), star="X", resolving_power=70_000).resolving_power == 70_000
    air = from_specutils(theirs(star), medium="air")
    assert 2.2 < air.wavelength[0] - star.wavelength[0] < 2.6
    assert any("medium not stated" in note for note in from_specutils(theirs(star)).notes)
    assert from_specutils(theirs(star, meta={})).star  # it has some name
    odd = from_specutils(theirs(star, meta=META | {"berv": 500.0}))
    assert np.isnan(odd.berv) and any("BERV = 500.0 is not a usable value" in note for note in odd.notes)


def test_many_spectra_are_a_list_and_never_one_object(model, star):
    one = theirs(star)
    stacked = specutils.Spectrum(flux=np.tile(star.flux, (3, 1)) * units.ct, spectral_axis=star.wavelength * units.AA)
    for wrong in (stacked, specutils.SpectrumList([one, one]), specutils.SpectrumCollection.from_spectra([one, one])):
        with pytest.raises(DataError, match="spectra.*such as spectra\\[0\\], or a list") as caught:
            model.predict(wrong)
        assert "\n" not in str(caught.value)
    assert len(model.predict([one, star])) == 2
    assert model.predict([[one, one]])["star"].tolist() == ["GJ 1"]
    assert chain.prepare(one, model.specialists[0].config)[1].star == "GJ 1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(axis=np.arange(3000.0) * units.km / units.s), "spectral_axis.*km / s.*not a wavelength"),
        (dict(uncertainty=UnknownUncertainty(np.ones(3000))), "uncertainty.*UnknownUncertainty"),
        (dict(axis=np.linspace(5000, 5100, 3000) * units.AA), "wavelength|covers"),
    ],
)
def test_what_cannot_be_converted_is_one_line(star, change, words):
    arrays = ("wavelength", "flux", "uncertainty", "mask", "telluric")
    short = dataclasses.replace(star, **{name: getattr(star, name)[:3000] for name in arrays})
    with pytest.raises(DataError, match=words) as caught:
        from_specutils(theirs(short, **change))
    assert "\n" not in str(caught.value) and "/tmp" not in str(caught.value)
    with pytest.raises(DataError, match="flux.*mag"):
        from_specutils(specutils.Spectrum(flux=star.flux * units.mag, spectral_axis=star.wavelength * units.AA))
    with pytest.raises(ConfigError, match="not a spectrum"):
        from_specutils(star.flux)


@pytest.mark.parametrize("kind", ["Table", "QTable", "DataFrame"])
def test_tables_mean_what_they_mean_in_a_file(model, star, kind):
    columns = {"wave_nm": star.wavelength / 10, "flux": star.flux, "err": star.uncertainty}
    meta = {"OBJECT": "α Cen", "R": 94_600, "SPECSYS": "BARYCENT", "MEDIUM": "vacuum", "thing": object()}
    if kind == "DataFrame":
        table = Table(columns).to_pandas()
        table.attrs = meta
    else:
        table = (Table if kind == "Table" else QTable)(columns, meta=meta)
        table["wave_nm"].unit = units.nm
    found = from_table(table)
    np.testing.assert_allclose(found.wavelength, star.wavelength, rtol=1e-14)
    assert found.star == "α Cen" and found.frame == "barycentric" and found.file == ""
    assert model.predict(table)["Teff"].value == pytest.approx(model.predict(star)["Teff"].value, rel=1e-6)
    assert len(model.predict([table, table])) == 2


def test_tables_of_something_else_are_one_line():
    for table in (Table({"a": [1.0]}), Table({"a": [object()]}), Table({"wavelength": np.zeros(500_000)}), Table()):
        with pytest.raises(DataError) as caught:
            from_table(table)
        assert "\n" not in str(caught.value) and "/tmp" not in str(caught.value)

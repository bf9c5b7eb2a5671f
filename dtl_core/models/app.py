"""The app: widgets that take a spectrum and show the report on it; Voila makes a page of the notebook with them.

    from dtl_core.models.app import App
    App()

Everything is computed in the notebook's own kernel, so a spectrum never leaves the machine on which it runs.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import tempfile
from pathlib import Path

from ..characters import clean
from ..errors import ConfigError, DTLError
from ..extras import import_extra
from ..reading import readers
from ..synthetic.examples import write_examples
from . import exports, loading, prediction, report

__all__ = ["App"]


class App:
    """Upload field, options and result, which a notebook displays as the last value of a cell.

    Parameters
    ----------
    model : dtl_core.models.loading.Model, optional
        By default the model of the package.

    Raises
    ------
    ConfigError
        ipywidgets is not installed.
    """

    def __init__(self, model=None):
        widgets = import_extra("ipywidgets", "app")
        self.model, self._file = model or loading.load(), None
        self.upload = widgets.FileUpload(description="Choose a spectrum", layout={"width": "auto"})
        self.example = widgets.Button(description="Use an example", layout={"width": "auto"})
        choices = [("as the file says", None), ("vacuum", "vacuum"), ("air", "air")]
        about = {"continuous_update": False, "style": {"description_width": "initial"}}
        self.options = {
            "velocity": widgets.Text(description="Radial velocity [km/s]", placeholder="measured", **about),
            "resolving_power": widgets.Text(description="Resolving power", placeholder="as the file says", **about),
            "medium": widgets.Dropdown(options=choices, description="Wavelengths in", style=about["style"]),
        }
        self.result = widgets.HTML()
        self.page = widgets.VBox([widgets.HBox([self.upload, self.example]), *self.options.values(), self.result])
        self.upload.observe(self._uploaded, "value")
        self.example.on_click(self._exampled)
        for option in self.options.values():
            option.observe(self._update, "value")

    def _ipython_display_(self):
        from IPython.display import display

        display(self.page)

    def _uploaded(self, change):
        if change["new"]:
            self._file = change["new"][0]["name"], bytes(change["new"][0]["content"])
            self._update()

    def _exampled(self, _):
        with tempfile.TemporaryDirectory() as folder:
            path = write_examples(folder)[0][0]
            self._file = path.name, path.read_bytes()
        self._update()

    def _update(self, _=None):
        if not self._file:
            return
        self.result.value = "<p>Computing ... (the first spectrum takes a few seconds longer)</p>"
        try:
            self.result.value = self.estimate(*self._file)
        except DTLError as error:
            self.result.value = f'<p role="alert"><strong>{html.escape(str(error))}</strong></p>'

    def estimate(self, name, content):
        """Estimate the spectrum of a file, with the options that are set.

        Parameters
        ----------
        name : str
            Name of the file; its ending gives the format.
        content : bytes

        Returns
        -------
        str
            HTML: a link that saves the row of the catalogue, and the report, see
            :func:`dtl_core.models.report.html_report`.

        Raises
        ------
        DTLError
            The file cannot be used, or an option is not a number.
        """
        given = {field: option.value for field, option in self.options.items() if option.value}
        velocity = _number(given.pop("velocity", ""), "velocity")
        if "resolving_power" in given:
            given["resolving_power"] = _number(given["resolving_power"], "resolving_power")
        name = clean(Path(name).name) or "spectrum"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                spectrum = readers.read(path, **given)
            except DTLError as error:
                raise DTLError(str(error).replace(f"{folder}/", "")) from None
        spectrum = dataclasses.replace(spectrum, file=name)
        examined, _ = prediction.examine(self.model, spectrum, velocity=velocity)
        row = exports.as_bytes(prediction.as_table(examined, [], self.model), ".ecsv")
        return (
            f'<p><a download="{html.escape(name)}_row.ecsv" href="data:text/plain;base64,'
            f'{base64.b64encode(row).decode()}">Download the row of the catalogue</a></p>'
            f'<iframe title="Report" style="width:100%;height:80vh;border:1px solid #999" '
            f'srcdoc="{html.escape(report.html_report(self.model, examined[0]))}"></iframe>'
        )


def _number(text, field):
    """A number from a field, or None if the field is empty."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise ConfigError(f"{clean(text, 20)!r} is not a number", field=field, remedy="give a number") from None

"""The command ``dtl``, to which the other modules add subcommands."""

from __future__ import annotations

import click

from .._version import __version__
from .terminal import OneLineErrors

__all__ = ["main"]


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dtl")
def main():
    """Stellar parameters of M dwarfs with autoencoders and deep transfer learning.

    \b
    Examples:
      dtl predict my_star.fits             parameters of your own star
      dtl explain my_star.fits             a report on the estimate
      dtl run --profile smoke              a small run of the whole method
      dtl run --set survey.noise=0         another setting
      dtl run --spectrum my_star.ecsv      adds your star to the observed ones
      dtl reproduce                        the paper's method on its own inputs
      dtl prepare night1.fits night2.fits  the spectra after preparation
      dtl search --profile smoke           hyper-parameters
      dtl figures --json                   figures of the last run
      dtl book --profile demo              run, notebooks, HTML book
      dtl data fetch                       public data, about 11 MB
    """

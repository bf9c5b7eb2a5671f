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
      dtl explain my_star.fits             a page that says why
      dtl run --profile smoke              the whole method, small
      dtl run --set survey.noise=0         another setting
      dtl run --spectrum my_star.ecsv      your star joins the observed
      dtl reproduce                        the paper on its own inputs
      dtl prepare night1.fits night2.fits  what the chain makes of them
      dtl search --profile smoke           hyper-parameters
      dtl figures --json                   figures of the last run
      dtl book --profile demo              run, notebooks, HTML book
      dtl data fetch                       public data, about 11 MB
    """

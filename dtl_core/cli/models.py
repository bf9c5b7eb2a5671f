"""``dtl models``: lists, makes and exports trained models."""

from __future__ import annotations

import json

import click

from ..parameters import TABLE
from .options import FOLDER, MODELS, PATH, overrides_of
from .root import main
from .terminal import progress_bar, say

__all__ = ["models_build", "models_export", "models_group", "models_list", "models_show"]


@main.group("models")
def models_group():
    """List, build and export trained models: those of the package, and your own.

    \b
    Examples:
      dtl models list
      dtl models show 53000
      dtl models build -o my_models --resolution 60000 --set synthetic.library=phoenix
    """


@models_group.command("list")
@MODELS
def models_list(name):
    """List models by resolving power: method, number of networks, date, errors on the test surveys."""
    from ..estimates.gravity import TITLES
    from ..models import loading

    for specialist in loading.load(name).specialists:
        card = specialist.card
        line = f"R = {specialist.resolving_power:6.0f}  {card['method']}, {card['members']} networks, {card['made']}"
        for snr, errors in sorted(card.get("figures", {}).items(), key=lambda item: -int(item[0].split("-")[0])):
            digits = {p.name: p.digits + (p.digits > 0) for p in TABLE.values()}
            line += f"\n  rmse, simulated, S/N {snr}: "
            line += ", ".join(f"{name} {errors[name]['rmse']:.{n}f}" for name, n in digits.items())
            relations = [
                f"{errors[name]:.{digits['logg']}f} by the {TITLES[name]}" for name in TITLES if name in errors
            ]
            line += "".join(f"\n    log g {text}" for text in relations)
        say(line)


@models_group.command("show")
@click.argument("resolving_power", type=float)
@MODELS
def models_show(resolving_power, name):
    """Print the card of the model that is used for a spectrum of this resolving power, as JSON."""
    from ..models import loading

    say(json.dumps(loading.load(name).specialist_for(resolving_power).card, indent=1, sort_keys=True))


@models_group.command("build")
@click.option("-o", "--output", required=True, type=FOLDER, help="Folder for the models.")
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option(
    "--resolution", "resolving_powers", multiple=True, type=float,
    help="One resolving power, may be repeated  [default: all]",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress.")
def models_build(output, profile, settings, resolving_powers, quiet):
    """Train and calibrate models from scratch: for another synthetic library, window or instrument.

    \b
    Examples:
      dtl models build -o my_models
      dtl models build -o mine --resolution 60000 --set window.start=8805 --set window.stop=8830
      dtl models build -o phoenix --set synthetic.library=phoenix
    """
    from .. import machine
    from ..config import load_profile
    from ..models import making
    from ..pipeline import records

    config, systematics = load_profile(profile, overrides_of(settings)), {}
    if "real_stars" in records.names():
        systematics = records.read("real_stars")["values"].get("left_out", {}).get("values", {}).get("systematics", {})
    powers = resolving_powers or config.models.resolving_powers
    machine.one_thread()
    with progress_bar(len(powers) * making.steps(config), quiet, "epochs") as bar:
        for power in powers:
            specialist = making.make_specialist(config, power, systematics=systematics, progress=bar.update)
            say(specialist.save(f"{output}/R{power:06.0f}.safetensors"))


@models_group.command("export")
@click.option("-o", "--output", required=True, type=FOLDER, help="Folder for the model.")
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--results", type=PATH, help="Folder of the results (or DTL_RESULTS).")
@click.option("--quiet", is_flag=True, help="No progress.")
def models_export(output, profile, settings, results, quiet):
    """Export the paper's ensemble of a run, which is made first if necessary, as a model for other spectra.

    \b
    Examples:
      dtl models export -o demo_ensemble
      dtl predict my_star.fits --models demo_ensemble
    """
    from .. import machine
    from ..models import making
    from ..pipeline import conduct

    run = conduct.run(profile, overrides=overrides_of(settings), root=results, quiet=quiet)
    machine.one_thread()
    with progress_bar(run.config.models.emulator_epochs, quiet, "epochs") as bar:
        specialist = making.paper_specialist(run, progress=bar.update)
    say(specialist.save(f"{output}/paper_R{specialist.resolving_power:06.0f}.safetensors"))

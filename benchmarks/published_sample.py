"""Record what notebook 06 finds for the paper's stars, so that it can also show this without the published tables.

    python benchmarks/published_sample.py          some seconds

Every table of the record is the result of the function of that name in ``dtl_core.literature.summaries``. These are
counts, medians, fractions and tests that we derived, and no rows that others published. The record needs the published
tables. Members of young associations are the published ones, also where BANYAN Sigma is installed.
"""

import click

from dtl_core.errors import DataError
from dtl_core.literature import catalogues, kinematics, sample, summaries
from dtl_core.pipeline import records

CODE = records.code_of_script(__file__)
OF_STARS = (
    summaries.gravities,
    summaries.luminosities,
    summaries.activity,
    summaries.velocities,
    summaries.confusion,
    summaries.metallicities,
    summaries.metallicity_tests,
    summaries.solar_motions,
    summaries.colours,
)


def measure():
    """Tables of the paper's stars by name, as lines of CSV; a DataError without the published tables."""
    if not catalogues.available(stars=True):
        raise DataError("is absent", file="published/", remedy="dtl data fetch published, or set DTL_DATA")
    stars = sample.star_sample(None).frame
    members, _ = kinematics.associations(stars, compute=False)
    tables = {summary.__name__: summary(stars) for summary in OF_STARS}
    tables["associations"] = summaries.associations(members)
    tables["young_and_poor"] = summaries.young_and_poor(stars, members)
    return {name: records.lines(table) for name, table in tables.items()}


@click.command()
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
def main(folder):
    """Measure and write the record."""
    click.echo(records.write("published_sample", measure(), folder, code=CODE))


if __name__ == "__main__":
    main()

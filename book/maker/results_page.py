"""Parts of the page of results: answers from records, how large the run is, and its errors.

    results_files(run)     answers.md, run_size.md and run_errors.md, below ``book/generated``, which the page includes

The sentences are those of notebook 07, of the page of real stars and of the model card, each with a link to the page
that has the tables behind it.
"""

from __future__ import annotations

from dtl_core.literature import real_stars
from dtl_core.models import cards, loading
from dtl_core.parameters import TABLE, heading
from dtl_core.pipeline import benchmark_sentences, benchmark_tables
from dtl_core.public_data import registry

from .landing_page import BLIND, REAL, RECOMMENDED, SIMULATED, SINGLE, UNTUNED
from .markdown import NBSP, code, escape, number, table
from .real_stars_page import recorded, verdicts
from .statements import STATEMENTS

__all__ = ["results_files", "run_errors", "run_size"]


_QUICK = {  # profile: what a run with it is called
    "demo": "the **quick start**",
    "smoke": "a **test run**, whose numbers have no scientific meaning",
}
_PAIRS = (  # methods and references that answer
    ("fine-tuned", UNTUNED),
    ("fine-tuned", "no transfer"),
    (BLIND, "fine-tuned"),
    (RECOMMENDED, BLIND),
)
_NOT_RECORDED = "Not recorded yet."
_NO_MODELS = "This package brings no trained models."


def results_files(run, folder=None):
    """The parts of the page of results that are made from records and from a run.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run
    folder : path, optional
        Folder of the records; by default that of the package.

    Returns
    -------
    dict of str to str
        Name below ``book/generated`` -> Markdown.
    """
    return {"answers.md": _answers(folder), "run_size.md": run_size(run), "run_errors.md": run_errors(run)}


def run_size(run):
    """Say how large a run is beside the paper's.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run

    Returns
    -------
    str
        Markdown, one paragraph.
    """
    profile, figures = run.config.profile, getattr(run, "figures", None) or {}
    paper = {s.key: s.published for s in STATEMENTS}
    text = f"The run that made this book is {_QUICK.get(profile, 'a run')} (profile {code(profile)})"
    if figures:
        text += (
            f": {figures['n_autoencoders']} autoencoders and {figures['n_regressors_trained']} regressors, where the "
            f"paper has {paper['n_autoencoders']} and {paper['networks']}"
        )
    size = "Its numbers show how the method behaves; they are not those of the paper's size."
    return f"{text}. {size if profile == 'demo' else ''}".strip() + "\n"


def run_errors(run):
    """The errors of a run on the stars of its simulated survey whose truth no method used.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run

    Returns
    -------
    str
        Markdown: a sentence that the numbers choose, and a table.
    """
    found = benchmark_tables.paper_and_recommended(run)
    rows, methods = [], list(found["estimates"].unique())
    for p, own in found.groupby("parameter", sort=False):
        form, own = f".{TABLE[p].digits}f", own.set_index("estimates")
        own["bias"] = own["bias"].round(TABLE[p].digits) + 0.0  # no negative zero
        cells = [
            f"{number(row['rmse'], form)} ({number(row['bias'], '+' + form)}), {100 * row['coverage']:.0f}{NBSP}%"
            for row in own.loc[methods].to_dict("records")
        ]
        rows.append([escape(heading(p)), *cells, number(run.truth[p].std(ddof=0), form)])
    truths = found.drop_duplicates("estimates")["known truths"]
    rows.append(["known truths", *map(str, truths), "–"])
    caption = (
        f"Errors of this run on the {found['stars'].iloc[0]} stars of its simulated survey whose truth no method used: "
        "rmse, in brackets the bias (estimate minus truth), and the share of true values within the 1σ bounds, which "
        "should be 68 %. Last, the rmse of predicting the mean of the stars."
    )
    text = (
        f"```{{table}} {caption}\n:name: tab-run-errors\n:class: values\n\n{table(['', *methods, 'mean'], rows)}```\n"
    )
    says = benchmark_sentences.run_sentence(found).replace("[M/H]", escape("[M/H]"))
    return f"{SIMULATED} {says} The first section compares methods on several.\n\n{text}"


def _answers(folder):
    errors, stars, strangers = (
        benchmark_tables.read(*of, folder)
        for of in (("arms", "errors"), ("recommended", "stars"), ("recommended", "strangers"))
    )
    kinds = cards.kinds_table(loading.load().specialists) if registry.resources("models") else None
    gravity = benchmark_sentences.gravity_sentences(benchmark_tables.gravity_errors(stars))
    return _TEXT.format(
        simulated=SIMULATED,
        real=REAL,
        methods=_list(benchmark_sentences.comparisons(errors.replace({"arm": SINGLE}), _PAIRS))
        if len(errors)
        else _NOT_RECORDED,
        state=benchmark_tables.state("arms", folder),
        kinds=_list(_NO_MODELS if kinds is None else benchmark_sentences.model_sentences(kinds)),
        silent=_NO_MODELS if kinds is None else escape(benchmark_sentences.silent_sentence(kinds)),
        stars=_list(_on_real_stars(folder), plain=False),
        flags=escape(benchmark_sentences.flag_sentence(strangers)),
        gravity=_list(gravity),
    )


def _list(sentences, plain=True):
    """A list of sentences; those of the benchmark are nearly Markdown: names of methods are in italics."""
    sentences = [sentences] if isinstance(sentences, str) else list(sentences)
    texts = [text.replace("[M/H]", escape("[M/H]")) for text in sentences] if plain else sentences
    return benchmark_sentences.bullets(texts)


def _on_real_stars(folder):
    known = recorded(folder)
    return [_NOT_RECORDED] if known is None else verdicts(real_stars.summary(known[3]), known[2])


_TEXT = """## How large are the errors on simulated surveys?

{simulated}

{methods}

Here each method trains one network. {{numref}}`tab-landing` on the first page has the errors, for the paper's method
those of an ensemble of networks. {state} The gap of these surveys is of the kind that some of the methods were made
for. [Notebook 07](notebooks/07_does_transfer_close_the_gap.ipynb) has all methods, and what fine-tuning does.

## And on other kinds of gap?

{simulated} For the trained models, with a calibration without the kind:

{kinds}

{silent} {{ref}}`The model card <model-performance>` has every kind.

## On real stars?

{real}

{stars}

{{ref}}`Star by star, with every published value <real-star-benchmark>`.

## When should you not trust a value?

{simulated} {flags}

Log g nearly follows from Teff and \\[M/H\\], so that it means little unless it is better than what these two imply:

{gravity}

[Your own star](howto/own_star.md) explains the flags.

## How exact is the computation?

Far more exact than the estimates: {{ref}}`what precision to expect <precision>` has the error of an estimate by
signal-to-noise ratio, and {{ref}}`what the tests accept <numerical-contract>` of each numerical step.
"""

"""The command line, called in this process: one of its own takes seconds to import what it needs."""

from types import SimpleNamespace

from click.testing import CliRunner

from dtl_core.cli import main


def dtl(*arguments, env=None):
    """Run ``dtl``; return its exit status and what it wrote, as ``subprocess.run`` does. A traceback is raised."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments], env=env, prog_name="dtl")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)

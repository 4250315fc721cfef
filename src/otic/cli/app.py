"""The commands and their options; the work is in the modules they call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from otic import __version__

app = App(
    name="otic",
    version=__version__,
    help="Passive security monitoring for OT and IoT networks.",
    help_format="plaintext",
)


@app.command
def replay(
    *files: Path,
    output_format: Annotated[Literal["text", "json"], Parameter(name="--format")] = "text",
    threads: int = 1,
    database: Path | None = None,
    serve: bool = False,
    learn: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    learn_until: str | None = None,
    learn_fraction: float | None = None,
    baseline: Path | None = None,
    save_baseline: Path | None = None,
    config: Path | None = None,
    space_by: tuple[str, ...] = (),
    quiet: bool = False,
) -> int:
    """Analyse captures once and say what was found.

    Parameters
    ----------
    files
        Captures (pcap, pcapng, plain or compressed); several are merged by time into one run.
    output_format
        A summary to read, or the whole result as JSON.
    threads
        Threads of the packet core; the result is the same for any number.
    database
        Keep the result here; an interrupted run with the same files goes on where it stopped.
    serve
        Open the console on the result.
    learn
        Learn what is normal from these captures first.
    learn_until
        Learn until this time (ISO 8601), then alert.
    learn_fraction
        Learn for this part of the observed time (0 to 1), then alert.
    baseline
        Compare with this saved baseline.
    save_baseline
        Write what was learned here, as text.
    config
        Settings (otic.toml).
    space_by
        Address spaces: vlan=10=cell-a, interface=eth1=cell-b, tunnel=…, subnet=10.1.0.0/16=….
    quiet
        No progress bar.
    """
    from otic.cli.replay import run

    return run(
        list(files),
        as_json=output_format == "json",
        threads=threads,
        database=database,
        serve=serve,
        learn=list(learn),
        learn_until=learn_until,
        learn_fraction=learn_fraction,
        baseline=baseline,
        save_baseline=save_baseline,
        config=config,
        space_by=list(space_by),
        quiet=quiet,
    )


@app.command
def check(
    baseline: Path,
    *files: Path,
    output_format: Annotated[Literal["text", "json"], Parameter(name="--format")] = "text",
    threads: int = 1,
    config: Path | None = None,
    space_by: tuple[str, ...] = (),
    quiet: bool = False,
) -> int:
    """Replay captures against a saved baseline; exit code 1 and the deviations when there are any.

    Parameters
    ----------
    baseline
        A file written by `otic replay --save-baseline`.
    files
        Captures to compare with it.
    output_format
        Lines to read, or JSON.
    threads
        Threads of the packet core.
    config
        Settings (otic.toml).
    space_by
        Address spaces, as for replay.
    quiet
        No progress bar.
    """
    from otic.cli.check import run

    return run(
        baseline,
        list(files),
        as_json=output_format == "json",
        threads=threads,
        config=config,
        space_by=list(space_by),
        quiet=quiet,
    )


@app.command
def show(
    *what: str,
    decode: str | None = None,
    database: Path | None = None,
    folder: Path | None = None,
) -> int:
    """Show evidence: the frame's bytes with the cited ones marked, and the value they give.

    Parameters
    ----------
    what
        FILE:FRAME:OFFSET:LENGTH[,…], or with --database: alert ID.
    decode
        How the bytes are read, e.g. ascii, utf-8, unsigned-be, hex32le, mac, ip.
    database
        A database written by `otic replay --database`.
    folder
        Where the capture files are, when the evidence names base names only.
    """
    from otic.cli.show import run

    return run(list(what), decode=decode, database=database, folder=folder)


@app.command
def rules(*, config: Path | None = None) -> int:
    """List the detection rules and whether they are on.

    Parameters
    ----------
    config
        Settings (otic.toml).
    """
    from otic.cli.rules import run

    return run(config)

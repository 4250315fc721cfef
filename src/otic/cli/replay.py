"""`otic replay`: analyse captures once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from otic.baseline.baseline import Baseline
from otic.baseline.baseline import load as load_baseline
from otic.baseline.fields import FieldMaker
from otic.detect.engine import Detector
from otic.detect.rules import Compiled
from otic.detect.rules import load as load_rules
from otic.errors import BaselineError, CaptureError, OticError
from otic.sensor.analysis import Memory, Result, Sink
from otic.sensor.document import Document, encode
from otic.sensor.learning import Observed, observed_time
from otic.sensor.pipeline import Progress, analyse, open_captures
from otic.sensor.spaces import expand_spaces
from otic.settings import Settings, load, with_space_by


def run(
    files: list[Path],
    *,
    as_json: bool,
    threads: int,
    database: Path | None,
    serve: bool,
    host: str,
    port: int,
    tls: bool,
    learn: list[Path],
    learn_until: str | None,
    learn_fraction: float | None,
    baseline: Path | None,
    save_baseline: Path | None,
    journal: Path | None = None,
    config: Path | None,
    space_by: list[str],
    quiet: bool,
) -> int:
    """Does what `otic replay` says; exit code 0."""
    if not files:
        raise CaptureError("no capture given: otic replay FILE...")
    if serve and database is None:
        raise OticError("--serve needs --database, which the console reads")
    settings = expand_spaces(with_space_by(load(config), space_by), [*learn, *files], threads)
    rules = load_rules(settings.rules, settings.rule)
    known, until_ns = learned(
        files,
        settings,
        rules,
        threads=threads,
        learn=learn,
        learn_until=learn_until,
        learn_fraction=learn_fraction,
        baseline=baseline,
    )
    if save_baseline is not None and known is None:
        known, until_ns = Baseline(), sys.maxsize
    sink: Sink = Memory()
    if database is not None:
        from otic.store.database import Database

        sink = Database(database, settings, files)
    with progress_bar(quiet) as progress:
        result = analyse(
            open_captures(files, settings, threads, journal),
            settings=settings,
            rules=rules,
            baseline=known,
            learned_until_ns=until_ns,
            sink=sink,
            progress=progress,
        )
    if save_baseline is not None and known is not None:
        try:
            save_baseline.write_text(known.text(), encoding="utf-8")
        except OSError as error:
            raise BaselineError(f"{save_baseline}: {error.strerror}") from None
    if database is not None:
        from otic.sensor.packets import keep

        keep(result, files, database, settings.packets_bytes)
    show(result, as_json)
    sink.close()
    if serve and database is not None:
        from otic.api.app import serve as serve_console
        from otic.store.queries.common import Store

        out = sys.stderr if as_json else sys.stdout
        serve_console(
            Store(database),
            keys=database.with_name(database.name + ".keys"),
            host=host,
            port=port,
            tls=tls,
            out=out,
        )
    return 0


def show(result: Result, as_json: bool) -> None:
    """Prints the result as JSON, or as a summary to read."""
    document = Document(
        result.state, result.inventory, result.captures, result.alerts, result.notices
    ).build()
    if as_json:
        sys.stdout.buffer.write(encode(document))
        sys.stdout.buffer.flush()
        return
    from otic.cli.summary import summarise

    summarise(document)


def learned(
    files: list[Path],
    settings: Settings,
    rules: list[Compiled],
    *,
    threads: int,
    learn: list[Path],
    learn_until: str | None,
    learn_fraction: float | None,
    baseline: Path | None,
) -> tuple[Baseline | None, int | None]:
    """The baseline to start with, and until when the run itself learns.

    Raises:
        BaselineError: the options contradict each other or say no time.
    """
    if learn_until is not None and learn_fraction is not None:
        raise BaselineError("--learn-until and --learn-fraction exclude each other")
    known = load_baseline(baseline) if baseline is not None else None
    if learn:
        known = known or Baseline()
        result = analyse(open_captures(learn, settings, threads), settings=settings, rules=())
        fields = FieldMaker(settings)
        known.learn(result.state, fields, Detector(rules, fields, known).guarded)
    if learn_until is not None:
        return known or Baseline(), _time_ns(learn_until)
    if learn_fraction is not None:
        if not 0 < learn_fraction < 1:
            raise BaselineError("--learn-fraction is between 0 and 1")
        observed: Observed = observed_time(open_captures(files, settings, threads))
        return known or Baseline(), observed.at(learn_fraction)
    return known, None


def _time_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BaselineError(f"--learn-until {text}: not an ISO 8601 time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000_000 + moment.microsecond * 1000


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A bar on stderr while captures are read; nothing when nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    bar = Progress(
        "reading",
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("reading", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

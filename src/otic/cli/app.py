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
    host: str = "127.0.0.1",
    port: int = 8443,
    tls: bool = True,
    learn: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    learn_until: str | None = None,
    learn_fraction: float | None = None,
    baseline: Path | None = None,
    save_baseline: Path | None = None,
    journal: Path | None = None,
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
        Open the console on the result (with --database).
    host
        Address on which the console listens.
    port
        Port of the console; 0 takes a free one.
    tls
        Serve the console over TLS with a certificate made by Otic; --no-tls for plain HTTP.
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
    journal
        Also append all facts to the journal segments in this folder.
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
        host=host,
        port=port,
        tls=tls,
        learn=list(learn),
        learn_until=learn_until,
        learn_fraction=learn_fraction,
        baseline=baseline,
        save_baseline=save_baseline,
        journal=journal,
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
def packets(
    *,
    data: Path,
    output: Path,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    end: Annotated[str | None, Parameter(name="--to")] = None,
    host: tuple[str, ...] = (),
    port: int | None = None,
    device: str | None = None,
    connection: str | None = None,
    alert: str | None = None,
) -> int:
    """Take frames out of the packet ring of a sensor, as a pcapng file with comments.

    Parameters
    ----------
    data
        Folder of the sensor.
    output
        The file to write; one that is there already is refused.
    start
        First time (ISO 8601, UTC where no time zone is named).
    end
        Last time.
    host
        An address, IP or MAC; given twice, what the two said to each other.
    port
        TCP or UDP port of either side.
    device
        Id of a device, as the console's address line shows it.
    connection
        Id of a connection.
    alert
        Id of an alert; its time and half a minute around where no time is given.
    """
    from otic.cli.packets import run

    return run(
        data=data,
        output=output,
        start=start,
        end=end,
        hosts=list(host),
        port=port,
        device=device,
        connection=connection,
        alert=alert,
    )


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


protocol = App(name="protocol", help="Protocols that Otic reads, and definitions of one's own.")
app.command(protocol)


@protocol.command(name="list")
def protocol_list(*, config: Path | None = None) -> int:
    """List the protocols: built in, defined, and defined by the settings.

    Parameters
    ----------
    config
        Settings (otic.toml).
    """
    from otic.cli.protocol import show_all

    return show_all(config)


@protocol.command(name="new")
def protocol_new(name: str, /, *, folder: Path = Path()) -> int:
    """Make a definition to start from, with an example that holds.

    Parameters
    ----------
    name
        Name of the protocol: lower-case words joined by hyphens.
    folder
        Where to put NAME.toml.
    """
    from otic.cli.protocol import new

    return new(name, folder)


@protocol.command(name="test")
def protocol_test(file: Path, capture: Path | None = None, /) -> int:
    """Show what a definition decodes, frame by frame; without a capture, whether its examples hold.

    Parameters
    ----------
    file
        The definition.
    capture
        A capture to read with it.
    """
    from otic.cli.protocol import test

    return test(file, capture)


plugin = App(name="plugin", help="Plug-ins: readers in Python for payloads no definition can read.")
app.command(plugin)


@plugin.command(name="list")
def plugin_list(*, config: Path | None = None) -> int:
    """List the plug-ins of the settings.

    Parameters
    ----------
    config
        Settings (otic.toml).
    """
    from otic.cli.plugin import show_all

    return show_all(config)


@plugin.command(name="new")
def plugin_new(name: str, /, *, folder: Path = Path()) -> int:
    """Make a plug-in to start from.

    Parameters
    ----------
    name
        Name of the plug-in: lower-case words joined by hyphens.
    folder
        Where to make the folder NAME.
    """
    from otic.cli.plugin import new

    return new(name, folder)


@plugin.command(name="test")
def plugin_test(folder: Path, capture: Path, /, *, config: Path | None = None) -> int:
    """Show what a plug-in says of each payload in a capture.

    Parameters
    ----------
    folder
        The plug-in's folder.
    capture
        A capture with such payloads.
    config
        Settings (otic.toml), for the definitions that hand the payloads over.
    """
    from otic.cli.plugin import test

    return test(folder, capture, config)


@app.command
def sensor(*, data: Path, config: Path | None = None) -> int:
    """Run a sensor: capture, analysis and console, until it is stopped.

    Parameters
    ----------
    data
        Folder for everything that the sensor keeps; made when it is not there.
    config
        Settings (otic.toml); otic.toml in the data folder when there is one.
    """
    from otic.cli.sensor import run

    return run(data=data, config=config)


@app.command
def settings(*, data: Path | None = None, config: Path | None = None) -> int:
    """Print the settings that hold, with the defaults, as an otic.toml; wrong keys are refused.

    Parameters
    ----------
    data
        Folder of the sensor, whose otic.toml is read when there is one.
    config
        Settings (otic.toml).
    """
    from otic.cli.settings import run

    return run(data=data, config=config)


@app.command
def doctor(
    *,
    data: Path | None = None,
    config: Path | None = None,
    proof: bool = False,
    output_format: Annotated[Literal["text", "json"], Parameter(name="--format")] = "text",
) -> int:
    """Say whether this machine is fit to be a sensor; exit code 1 when there are problems.

    Parameters
    ----------
    data
        Folder of the sensor; its disk is measured, and its otic.toml read when there is one.
    config
        Settings (otic.toml).
    proof
        Show instead that the sensor running on the folder cannot transmit.
    output_format
        Lines to read, or JSON.
    """
    from otic.cli.doctor import run

    return run(data=data, config=config, proof=proof, as_json=output_format == "json")


@app.command
def mirror(
    *,
    data: Path | None = None,
    database: Path | None = None,
    period: Literal["recent", "all"] | None = None,
    output_format: Annotated[Literal["text", "json"], Parameter(name="--format")] = "text",
) -> int:
    """Say how good the mirror is: what is missing, why, and the switch commands that mend it.

    Parameters
    ----------
    data
        Folder of a sensor.
    database
        Instead: the result of otic replay --database.
    period
        The last quarter of an hour (usual for a sensor), or everything.
    output_format
        A report to read, or JSON.
    """
    from otic.cli.mirror import run

    return run(database=database, data=data, period=period, as_json=output_format == "json")


@app.command
def demo(
    *,
    host: str = "127.0.0.1",
    port: int = 8443,
    tls: bool = True,
    data: Path | None = None,
) -> int:
    """Show a small plant that Otic makes itself: learn its normal work, then open the console.

    Parameters
    ----------
    host
        Address on which the console listens.
    port
        Port of the console; 0 takes a free one.
    tls
        Serve over TLS with a certificate made by Otic; --no-tls for plain HTTP.
    data
        Folder to keep capture and result in; without it they are gone at the end.
    """
    from otic.cli.demo import run

    return run(host=host, port=port, tls=tls, data=data)


user = App(name="user", help="People who may log in to the console.")
app.command(user)


@user.command(name="add")
def user_add(
    name: str,
    *,
    database: Path | None = None,
    data: Path | None = None,
    role: Literal["admin", "analyst", "viewer"] = "viewer",
) -> int:
    """Let someone log in, and print their first password.

    Parameters
    ----------
    name
        Small letters, digits, dot, dash, underscore.
    database
        A database written by `otic replay --database`.
    data
        The data folder of a sensor.
    role
        What they may do.
    """
    from otic.cli.user import add

    return add(name, database, data, role)


@user.command(name="password")
def user_password(name: str, *, database: Path | None = None, data: Path | None = None) -> int:
    """Give someone a new password, print it, and end their sessions.

    Parameters
    ----------
    name
        Who forgot their password.
    database
        A database written by `otic replay --database`.
    data
        The data folder of a sensor.
    """
    from otic.cli.user import reset

    return reset(name, database, data)

"""Names, options and help of every subcommand, and how an error ends the program."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edgemill.cli import output
from edgemill.cli.bundle import bundle as bundle_commands
from edgemill.cli.fleet.commands import fleet as fleet_commands
from edgemill.cli.releases.commands import release as release_commands
from edgemill_core.errors import EdgemillError, MissingPartError

app = typer.Typer(
    name="edgemill",
    help="Mills trained models into proved engines for edge boxes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

agent = typer.Typer(help="The daemon on the box.", no_args_is_help=True, rich_markup_mode=None)
ledger = typer.Typer(help="The durable record of verdicts.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(agent, name="agent")
app.add_typer(ledger, name="ledger")
app.add_typer(bundle_commands, name="bundle")
app.add_typer(release_commands, name="release")
app.add_typer(fleet_commands, name="fleet")

_EXTRAS = {
    "cryptography": "agent",
    "alembic": "fleet",
    "cv2": "frames",
    "fastapi": "fleet",
    "iotcore": "agent",
    "paho": "agent",
    "matplotlib": "convert",
    "PIL": "convert",
    "onnx": "convert",
    "onnxruntime": "convert",
    "prometheus_client": "fleet",
    "securesystemslib": "fleet",
    "sqlalchemy": "fleet",
    "starlette": "fleet",
    "tuf": "fleet",
    "urllib3": "fleet",
    "uvicorn": "fleet",
}
"""Which extra of Edgemill brings a package, for those that a subcommand imports."""
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; progress goes to stderr.")]
BundleFolder = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder that `edgemill build` printed, or one file.")
]
Plans = Annotated[
    Path | None, typer.Option("--plans", help="This box's plans of TensorRT: the agent's state/plans, or --store.")
]


@app.command()
def build(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for bundle and report; else beside it.")] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for results of steps; .edgemill-cache in --out if not said.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do every step again, whatever the cache holds.")] = False,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="tcp://HOST:PORT of a Dask scheduler, to transform trials of search: there."),
    ] = None,
    json: Json = False,
) -> None:
    """Build a bundle with proof from a trained model. One that was killed goes on where it was."""
    from edgemill.cli.build import BuildOptions, run

    run(recipe, out, BuildOptions(cache, fresh, cluster), json)


@app.command()
def run(
    bundle: BundleFolder,
    pictures: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, folders, or tables (CSV).")],
    runtime: Annotated[str | None, typer.Option("--runtime", help="Which variant; the best one if not said.")] = None,
    expect: Annotated[str | None, typer.Option("--expect", help="The code that every part should carry.")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="CSV: file, expected (a code per part).")] = None,
    save: Annotated[Path | None, typer.Option("--save", help="Folder for annotated pictures.")] = None,
    evidence: Annotated[
        int | None, typer.Option("--evidence", min=1, help="Judge this part again; INPUT is the agent's state folder.")
    ] = None,
    plans: Plans = None,
    json: Json = False,
) -> None:
    """Give a verdict on each picture, or each row of a table; or again on a part that an agent judged."""
    if evidence is not None:
        from edgemill.cli.evidence import Again, run_again

        run_again(Again(bundle, tuple(pictures), evidence, runtime, save, json, plans))
        return
    from edgemill.cli.run import RunSettings
    from edgemill.cli.run import run as start

    start(RunSettings(bundle, tuple(pictures), runtime, expect, labels, save, json, plans))


@app.command()
def check(
    bundle: BundleFolder,
    runtime: Annotated[str | None, typer.Option("--runtime", help="Only this variant; all if not said.")] = None,
    allow: Annotated[int, typer.Option("--allow", min=0, help="How many golden decisions may differ.")] = 0,
    plans: Plans = None,
    json: Json = False,
) -> None:
    """Verify a bundle's files, and prove its golden samples on this machine."""
    from edgemill.cli.check import run

    run(bundle, runtime, allow, json, plans)


class Mode(str, Enum):
    """What an engine is tuned for."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


@app.command()
def bench(
    model: Annotated[Path, typer.Argument(metavar="MODEL_OR_BUNDLE", help="A graph (ONNX), or a bundle's folder.")],
    runtime: Annotated[str | None, typer.Option("--runtime", help="Which; a bundle's all if not said.")] = None,
    mode: Annotated[Mode, typer.Option("--mode", help="One run after the other, or many at once.")] = Mode.LATENCY,
    device: Annotated[str | None, typer.Option("--device", help="The runtime's name of it; CPU if not said.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Inside one run.")] = None,
    shape: Annotated[list[str] | None, typer.Option("--shape", help="NAME=1x3x48x320, for open sizes.")] = None,
    inputs: Annotated[Path | None, typer.Option("--inputs", help="Samples (.npz), one array per input.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="At most, for each engine.")] = 60,
    plans: Plans = None,
    json: Json = False,
) -> None:
    """Time a graph or a bundle's variants here, until the figures have settled."""
    from edgemill.cli.bench import BenchSettings
    from edgemill.cli.bench import run as start

    shapes = tuple(shape or ())
    start(BenchSettings(model, runtime, mode.value, device, threads, shapes, inputs, seconds, json, plans))


_SIDE = "PATH, or PATH@RUNTIME, BUNDLE@VARIANT; :DEVICE behind it for another one."


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"The one taken for right: {_SIDE}")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other, likewise.")],
    layers: Annotated[bool, typer.Option("--layers", help="Layer by layer too.")] = False,
    data: Annotated[
        Path | None, typer.Option("--set", help="Pictures, tensors, labels or rows; else golden samples.")
    ] = None,
    inputs: Annotated[Path | None, typer.Option("--inputs", help="Samples of bare graphs (.npz).")] = None,
    shape: Annotated[list[str] | None, typer.Option("--shape", help="NAME=1x3x48x320, for open sizes.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The picture of where they part.")] = Path("compare.html"),
    json: Json = False,
) -> None:
    """Show where two engines part: outputs, layers, verdicts."""
    from edgemill.cli.compare import CompareSettings, run

    run(CompareSettings(a, b, layers, data, inputs, tuple(shape or ()), out, json))


@app.command()
def data(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.")],
    json: Json = False,
) -> None:
    """Look at every sample of a recipe's sets: what is damaged, doubled, unlabelled or out of balance."""
    from edgemill.cli.data import run

    run(recipe, json)


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    from edgemill.cli.doctor import run

    run(json)


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No live table.")] = False,
    json: Json = False,
    parts: Annotated[int, typer.Option("--parts", min=1, max=100_000, help="Parts on the line.")] = 300,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of every picture.")] = 7,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path("demo-out"),
    broker: Annotated[str | None, typer.Option("--broker", help="mqtt://HOST:PORT instead of one of its own.")] = None,
) -> None:
    """Build, judge and run a line of labels, on a real model, from nothing, and kill things meanwhile."""
    from edgemill.cli.demo import run

    run(headless=headless or json, json=json, parts=parts, seed=seed, out=out, broker=broker)


StateFolder = Annotated[Path, typer.Argument(metavar="STATE", help="The agent's state folder, with ledger.db in it.")]


class LogForm(str, Enum):
    """How the log reads."""

    TEXT = "text"
    JSON = "json"


@agent.command("run")
def agent_run(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    json: Json = False,
    log: Annotated[LogForm, typer.Option("--log", help="Lines for people, or one JSON object a line.")] = LogForm.TEXT,
) -> None:
    """Run this box's stations until their sources end, or until SIGTERM."""
    from edgemill.cli.agent import run

    run(settings, json, log.value)


@agent.command("status")
def agent_status(state: StateFolder, json: Json = False) -> None:
    """Say whether the agent runs and how it is; exit code 1 is an alarm, 3 that it does not run."""
    from edgemill.cli.status import run

    run(state, json)


Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for the end of shadowing and trial.")]
Again = Annotated[bool, typer.Option("--again", help="Try once more what was refused before.")]


@agent.command("update")
def agent_update(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    source: Annotated[
        str | None, typer.Option("--from", metavar="PLACE", help="A stick's folder, or an address, and not fleet: url.")
    ] = None,
    wait: Wait = 60.0,
    again: Again = False,
    json: Json = False,
) -> None:
    """Follow the plan for this device: fetch, verify and prove what it names, and have a running agent take it up."""
    from edgemill.cli.update import update

    update(settings, source, wait, again, json)


@agent.command("import")
def agent_import(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A stick's folder, as `edgemill release export` made.")],
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    wait: Wait = 60.0,
    again: Again = False,
    json: Json = False,
) -> None:
    """Update from a stick: the same as `edgemill agent update SETTINGS --from PLACE`."""
    from edgemill.cli.update import update

    update(settings, place, wait, again, json)


Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Else EDGEMILL_PASSPHRASE, or it is asked for.")
]


@agent.command("backup")
def agent_backup(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To write; replaced, if it is there.")],
    bundles: Annotated[bool, typer.Option("--bundles", help="The installed bundles too.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Not encrypted: the box's private key is in it.")] = False,
    passphrase: Passphrase = None,
    json: Json = False,
) -> None:
    """Write the box's key, its ledger, what it trusts and its settings into one encrypted file; the agent may run."""
    from edgemill.cli.backup import backup

    backup(settings, file, bundles, plain, passphrase, json)


@agent.command("restore")
def agent_restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `edgemill agent backup` wrote it.")],
    settings: Annotated[Path | None, typer.Argument(metavar="SETTINGS", help="agent.yaml of this box.")] = None,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="STATE", help="This state folder, and the settings too.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put aside the state that is there.")] = False,
    numbers_from: Annotated[
        int | None, typer.Option("--numbers-from", min=1, help="Go on with this number; from the clock if not said.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="FILE is not encrypted: anybody who had it can have altered it.")
    ] = False,
    passphrase: Passphrase = None,
    json: Json = False,
) -> None:
    """Make this box the one that was backed up; its numbers go on behind all that were given since."""
    from edgemill.cli.backup import Given, restore

    restore(file, Given(settings, into, replace, numbers_from, passphrase, plain), json)


@agent.command("enrol")
def agent_enrol(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    code: Annotated[str, typer.Option("--code", help="As the fleet said it, in quotes; - reads stdin.")],
    again: Annotated[bool, typer.Option("--again", help="Take the place of the identity that it has.")] = False,
    json: Json = False,
) -> None:
    """Let this box into a fleet: make its key here, and get a certificate for it."""
    from edgemill.cli.enrol import run

    run(settings, code, again, json)


@agent.command("renew")
def agent_renew(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    now: Annotated[bool, typer.Option("--now", help="Even if it is not time yet.")] = False,
    json: Json = False,
) -> None:
    """Renew this box's certificate if it is time (`update` does so, too), and say until when it holds."""
    from edgemill.cli.enrol import run_renew

    run_renew(settings, now, json)


@agent.command("install")
def agent_install(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    user: Annotated[str | None, typer.Option("--user", help="Who runs it; makes it a service of the system.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the unit, if not where systemd looks.")] = None,
) -> None:
    """Write a systemd unit with a watchdog for this box's agent."""
    from edgemill.cli.agent import install

    install(settings, user, out)


@agent.command("reload")
def agent_reload(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="agent.yaml")],
    wait_s: Annotated[float, typer.Option("--wait", min=1, help="Seconds that new engines may take.")] = 180,
    json: Json = False,
) -> None:
    """Let a running agent take up other bundles, thresholds or challengers, without a stop."""
    from edgemill.cli.reload import reload

    reload(settings, wait_s, json)


@agent.command("compile")
def agent_compile(
    bundle: BundleFolder,
    store: Annotated[Path | None, typer.Option("--store", help="Folder of plans; else `plans` of --settings.")] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="agent.yaml of this box; the one in this folder if not said.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="NAME=VALUE", help="memory=4GiB, time=30m, cores=2; none.")
    ] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option("--compute-capability", help="8.6: ahead, for such a GPU (tensorrt_rtx).")
    ] = None,
    workspace_mb: Annotated[
        int | None, typer.Option("--workspace-mb", min=1, help="Scratch memory of the GPU that a kernel may want.")
    ] = None,
    gpu_fallback: Annotated[
        bool, typer.Option("--gpu-fallback", help="What a DLA cannot run may go to the GPU.")
    ] = False,
    json: Json = False,
) -> None:
    """Compile a bundle's variants for TensorRT on this box, and prove them; what fits already is only proved."""
    from edgemill.cli.compile import CompileOptions, run

    options = CompileOptions(store, settings, limit or (), tuple(compute_capability or ()), workspace_mb, gpu_fallback)
    run(bundle, options, json)


@ledger.command("stats")
def ledger_stats(state: StateFolder, json: Json = False) -> None:
    """Say how many verdicts there are, and how many the consumer has."""
    from edgemill.cli.ledger import stats

    stats(state, json)


@ledger.command("evidence")
def ledger_evidence(
    state: StateFolder,
    station: Annotated[str, typer.Option("--station", help="Only of this station.")] = "",
    last: Annotated[int, typer.Option("--last", min=0, help="The newest so many; 0 for all.")] = 50,
    export: Annotated[Path | None, typer.Option("--export", help="Folder for frames, and a table to label.")] = None,
    json: Json = False,
) -> None:
    """List the parts whose frames were to be kept, for `edgemill run --evidence NUMBER`, or export them."""
    from edgemill.cli.ledger import evidence

    evidence(state, station, last, export, json)


@ledger.command("verify")
def ledger_verify(state: StateFolder, json: Json = False) -> None:
    """Find anything that was altered, left out or put in."""
    from edgemill.cli.ledger import verify

    verify(state, json)


@ledger.command("export")
def ledger_export(
    state: StateFolder,
    out: Annotated[Path, typer.Option("--out", help="File to write: one JSON object a line.")],
    after: Annotated[int, typer.Option("--after", min=0, help="Only records behind this position.")] = 0,
) -> None:
    """Write records as JSON lines, with everything that an auditor needs to check the chain."""
    from edgemill.cli.ledger import export

    export(state, out, after)


@ledger.command("consume")
def ledger_consume(
    broker: Annotated[str, typer.Option("--broker", help="mqtt://HOST:PORT, or mqtts:// for TLS.")],
    store: Annotated[Path, typer.Option("--store", help="SQLite file that keeps what comes.")],
    idle_s: Annotated[float | None, typer.Option("--idle", help="End after so many seconds without a record.")] = None,
    json: Json = False,
) -> None:
    """Take the ledgers of all boxes at a broker, acknowledge them, and give the account at the end."""
    from edgemill.cli.ledger import consume

    consume(broker, store, idle_s, json)


def main() -> None:
    """Run the command; an ``EdgemillError`` is printed as it is and ends with its own exit code.

    So does a package that is not installed: only parts of Edgemill that need it import it.
    """
    try:
        app()
    except EdgemillError as error:
        _end(error)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _end(_missing(str(error.name), extra))
    except KeyboardInterrupt:
        sys.exit(130)


def _end(error: EdgemillError) -> NoReturn:
    if "--json" in sys.argv:
        output.print_json(error.as_dict())
    output.print_error(error)
    sys.exit(error.exit_code)


def _missing(package: str, extra: str) -> MissingPartError:
    return MissingPartError(
        "this subcommand needs a package that is not installed",
        expected=package,
        got="no such package",
        fix=f"pip install 'edgemill[{extra}]'",
    )

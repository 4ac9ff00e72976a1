"""The command line. Each command reads its arguments, calls one function, and shows what came of it.

Exit codes: 0 done; 2 wrong use; 3 refused input; 4 failed.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge import __version__
from bridge.cli_audit import audit_app
from bridge.cli_eclipse import hand_over, show_hand_over
from bridge.cli_library import library_app
from bridge.cli_models import evaluate, models_app, train_app
from bridge.cli_pdf import pdf
from bridge.cli_plan import demo, plan
from bridge.cli_review import review
from bridge.cli_shared import ConfigFile, JsonFile, RequiredConfigFile, out, pairs, shown_time, table, times, write_json
from bridge.cli_users import users_app
from bridge.cli_variability import variability
from bridge.log_format import NamelessFormatter
from bridge.rt.errors import BridgeError, Refusal
from config.errors import ConfigError
from config.load import load_settings
from config.settings import Settings

__all__ = ["app", "main"]

REFUSED, FAILED = 3, 4

DoseFile = Annotated[Path, typer.Option(help="RTDOSE file.", exists=True, dir_okay=False)]
StructuresFile = Annotated[Path, typer.Option(help="RTSTRUCT file.", exists=True, dir_okay=False)]

app = typer.Typer(
    name="fdp-bridge",
    help="Predicted dose and optimization objectives from CT and RTSTRUCT. Research software, NOT FOR CLINICAL USE.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # square brackets in texts are no markup
)
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")
app.add_typer(library_app, name="library")
app.add_typer(users_app, name="users")
app.add_typer(audit_app, name="audit")
app.command()(evaluate)
app.command()(demo)
app.command()(plan)
app.command()(review)
app.command()(variability)
app.command()(pdf)
app.command("hand-over")(hand_over)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    json_errors: Annotated[bool, typer.Option("--json-errors", help="Report errors on stderr as JSON.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    del json_errors  # read by main, which is where errors arrive
    if version:
        out.print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        out.print(context.get_help())
        raise typer.Exit(2)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json-errors" in arguments
    code = 0
    try:
        app(args=arguments)
    except ConfigError as error:
        problems = [{"path": problem.path, "message": problem.message} for problem in error.problems]
        report: dict[str, object] = {
            "kind": "refused",
            "code": "settings",
            "message": str(error),
            "where": {},
            "problems": problems,
        }
        _show_error(report, f"refused: {error}", as_json)
        code = REFUSED
    except BridgeError as error:
        report = error.as_dict()
        _show_error(report, f"{report['kind']}: {error}", as_json)
        code = REFUSED if isinstance(error, Refusal) else FAILED
    sys.exit(code)


def _show_error(report: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stderr.write((json.dumps(report) if as_json else text) + "\n")


def _log(settings: Settings) -> None:
    level = logging.getLevelNamesMapping()[settings.logging.level.upper()]
    # libraries only warn: what they say in detail holds file names, which may be patients' names
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(NamelessFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
    logging.getLogger("bridge").setLevel(level)


@app.command()
def serve(config: ConfigFile = None) -> None:
    """Run the DICOM node, the watched folder and the workers until interrupted."""
    from bridge.app import build_service

    settings = load_settings(config)
    _log(settings)
    service = build_service(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: service.stop())
    service.run()


@app.command()
def predict(
    dicom_dir: Annotated[
        Path, typer.Argument(help="Folder with one CT, its RTSTRUCT, and perhaps an RTPLAN.", file_okay=False)
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for the results: a new one, or one with earlier results, which are replaced."
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Model id; see `models list`.")] = None,
    preference: Annotated[str | None, typer.Option(help="Name of the preference to start from.")] = None,
    hi: Annotated[
        float | None,
        typer.Option(
            help="Wanted homogeneity index of the highest target, from 0 to 2: less is more homogeneous. Index and "
            "range are those of the model's card (`models show`): fdp-hn-engine-v1 takes (D2% - D98%)/D50% from 0.022 "
            "to 0.13. Without it the model's own trade-off.",
            min=0,
            max=2,
        ),
    ] = None,
    oar_weight: Annotated[
        list[str] | None,
        typer.Option(
            help="Weight of sparing an organ, NAME=WEIGHT, or of all: all=WEIGHT. No unit: 1 is neutral, more spares "
            "more. The model's card has names and range (`models show`): fdp-hn-engine-v1 takes 0.628 to 1.519."
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Predict the dose of one case and extract objectives; writes RTDOSE, RTPLAN, DVHs, objectives and a report."""
    from bridge.app import predict_directory
    from bridge.dicom.assemble import collect
    from bridge.workflow.dose_lines import dose_lines, prescription_line, read_metrics
    from bridge.workflow.export import ARTIFACT_FILES, plan_partial
    from bridge.workflow.predict import preference_in

    changes = {"model": model, "preference": preference, "hi": hi}
    wanted: dict[str, object] = {name: value for name, value in changes.items() if value is not None}
    if oar_weight:
        weights = pairs(oar_weight, "--oar-weight")
        if "all" in weights:
            wanted["oar_weight"] = weights.pop("all")
        wanted["oar_weights"] = weights
    settings = load_settings(config, {"prediction": wanted})
    predicted = predict_directory(collect(dicom_dir), folder, settings, preference_in(settings))
    objectives = predicted.result.objectives
    for finding in predicted.result.findings:
        if finding.severity == "warning":
            out.print(f"warning: {finding.message} [{finding.code}]")
    for finding in plan_partial(objectives):
        out.print(f"{finding.severity}: {finding.message} [{finding.code}]")
    out.print(prescription_line(objectives.prescription))
    out.print(f"model: {objectives.provenance.model_id}")
    for line in dose_lines(objectives, {"predicted": read_metrics(folder / ARTIFACT_FILES["dvh"])}):
        out.print(line)
    for artifact in predicted.artifacts:
        out.print(f"{artifact.kind}: {folder / artifact.path}")


@app.command()
def dvh(
    dose: DoseFile,
    structures: StructuresFile,
    json_file: JsonFile = None,
    config: ConfigFile = None,
) -> None:
    """Show DVH metrics of any dose."""
    from bridge.workflow.dose_check import measure_files

    measured = measure_files(dose, structures, load_settings(config))
    for finding in measured.findings:
        out.print(f"{finding.severity}: {finding.message} [{finding.code}]")
    policy = measured.policy.shape
    shown = table(
        f"DVH ({policy})", "structure", "volume cc", "inside grid %", "mean Gy", "D0.03cc Gy", "D95% Gy", "D2% Gy"
    )
    for row in measured.dvhs:
        numbers = ["-"] * 4
        if not row.is_empty:
            values = (row.mean_gy, row.dose_at_cc(0.03), row.dose_at_percent(95), row.dose_at_percent(2))
            numbers = [f"{value:.2f}" for value in values]
        shown.add_row(row.roi_name, f"{row.volume_cc:.2f}", f"{100 * row.coverage:.1f}", *numbers)
    out.print(shown)
    write_json(json_file, measured.as_json())


@app.command()
def extract(
    dose: DoseFile,
    structures: StructuresFile,
    file: Annotated[Path, typer.Option("--out", help="Objectives as JSON; an .xml beside it gets the template.")],
    ct: Annotated[Path | None, typer.Option(help="Folder with the CT, to check the structures against.")] = None,
    config: ConfigFile = None,
) -> None:
    """Extract optimization objectives from any dose."""
    from bridge.workflow.dose_check import extract_files

    if file.suffix.lower() != ".json":
        raise typer.BadParameter("the objectives are JSON; name a file that ends in .json", param_hint="--out")
    objectives = extract_files(dose, structures, ct, file, load_settings(config))
    for finding in objectives.findings:
        out.print(f"{finding.severity}: {finding.message} [{finding.code}]")
    out.print(f"objectives: {len(objectives.objectives)} in {file} and {file.with_suffix('.xml')}")


@app.command("check-config")
def check_config(file: Annotated[Path, typer.Argument(help="Settings in YAML.", dir_okay=False)]) -> None:
    """Check a settings file and show every problem in it."""
    from bridge.app import require_model

    settings = load_settings(file)
    require_model(settings)
    out.print(f"{file}: settings are valid (sha256 {settings.sha256[:12]})")


@app.command()
def doctor(config: ConfigFile = None) -> None:
    """Check this installation: packages, models, disk, ports and destinations."""
    from bridge.app import examine

    failed = False
    for check in examine(load_settings(config)):
        failed |= not check.good
        out.print(f"{'ok  ' if check.good else 'FAIL'} {check.name}: {check.detail}")
    if failed:
        raise typer.Exit(FAILED)


@app.command()
def echo(
    destination: Annotated[str, typer.Argument(help="Name of a destination in the settings.")],
    config: RequiredConfigFile,
) -> None:
    """Ask a destination whether it answers (C-ECHO)."""
    from bridge.app import destination_of, sender_of

    settings = load_settings(config)
    result = sender_of(settings).echo(destination_of(settings, destination))
    out.print(f"{destination}: {result.message}")
    if not result.reached:
        raise typer.Exit(FAILED)


@app.command()
def send(
    files: Annotated[list[Path], typer.Argument(help="DICOM files or folders of them.")],
    to: Annotated[str, typer.Option(help="Name of a destination in the settings.")],
    config: RequiredConfigFile,
) -> None:
    """Send DICOM files to a destination and show what it said to each."""
    from bridge.app import destination_of, sender_of
    from bridge.dicom.assemble import collect

    settings = load_settings(config)
    paths = [path for file in files for path in (collect(file) if file.is_dir() else [file])]
    results = sender_of(settings).send(destination_of(settings, to), paths)
    for result in results:
        out.print(f"{result.path.name}: {result.reason}")
    if not all(result.outcome.delivered for result in results):
        raise typer.Exit(FAILED)


@app.command()
def cases(config: RequiredConfigFile, json_file: JsonFile = None) -> None:
    """List the cases of a running or stopped bridge, and what each waits for."""
    from bridge.app import cases_folder
    from bridge.workflow.export import ARTIFACT_FILES
    from bridge.workflow.store import Store
    from bridge.workflow.worklist import worklist

    settings = load_settings(config)
    rows = worklist(Store.in_folder(settings.data_dir))
    for row in rows:
        out.print(f"{row.case_id}  {row.state:<10}  {shown_time(row.updated_utc)}  {row.reason}")
        if row.results is not None:
            for kind in ("report", "objectives"):
                out.print(f"    {kind}: {cases_folder(settings) / row.results / ARTIFACT_FILES[kind]}")
        if row.stop is not None:
            out.print(f"    {row.stop} by {row.stop_by}: {row.stop_reason}")
        for delivery in row.deliveries:
            tried = times(delivery.attempts, "attempt")
            out.print(f"    to {delivery.destination}: {delivery.state} after {tried} {delivery.message}".rstrip())
        for handed in row.hand_overs:
            show_hand_over(handed)
        for back in row.reimports:
            out.print(f"    dose {back.dose_uid} came back: comparison {back.state} {back.message}")
    if not rows:
        out.print("no cases")
    write_json(json_file, [row.as_dict() for row in rows])


@app.command()
def approve(
    case_id: Annotated[str, typer.Argument(help="Case, as `cases` lists it.")],
    objectives: Annotated[
        Path,
        typer.Option(
            help="The objectives.json that was reviewed; the approval binds its hash.", exists=True, dir_okay=False
        ),
    ],
    user: Annotated[str, typer.Option(help="Who approves.")],
    config: RequiredConfigFile,
) -> None:
    """Approve the results of a case, so that they are delivered."""
    from bridge.app import approve_case

    approve_case(load_settings(config), case_id, objectives, user)
    out.print(f"case {case_id} approved by {user}; it is delivered by the running service")


@app.command()
def retry(
    case_id: Annotated[str, typer.Argument(help="Case, as `cases` lists it.")],
    user: Annotated[str, typer.Option(help="Who asks for it.")],
    config: RequiredConfigFile,
) -> None:
    """Try a refused or failed case again, after what was in its way has been mended."""
    from bridge.app import retry_case

    retry_case(load_settings(config), case_id, user)
    out.print(f"case {case_id} is tried again by the running service")


@app.command()
def keep(
    sop_instance_uid: Annotated[str, typer.Argument(help="SOP Instance UID under which two contents came.")],
    user: Annotated[str, typer.Option(help="Who decides.")],
    config: RequiredConfigFile,
    content: Annotated[
        str | None, typer.Option(help="Hash of the content that holds; without it they are listed.")
    ] = None,
) -> None:
    """Say which of two contents under one SOP Instance UID holds; the other stays on disk, unused."""
    from bridge.app import contents, keep_content, told_apart_by

    settings = load_settings(config)
    if content is not None:
        keep_content(settings, sop_instance_uid, content, user)
    found = contents(settings, sop_instance_uid)
    for one in found:
        state = "set aside" if one.set_aside else "in use"
        source = one.source.kind if one.source.calling_ae is None else f"{one.source.calling_ae} at {one.source.host}"
        out.print(f"{one.sha256}  received {shown_time(one.received_utc)} from {source}  {state}")
    if len(found) > 1:
        out.print(f"they differ in {', '.join(told_apart_by(found)) or 'no attribute'}")


if __name__ == "__main__":
    main()

"""Commands about models: what there is, how good it is, and how it is made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bridge.cli_kbp import evaluate_estimator, train_kbp_command
from bridge.cli_library import evaluate_on_plans
from bridge.cli_shared import JsonFile, out, table, write_json

if TYPE_CHECKING:
    from models.training.dataset import Patient

__all__ = ["evaluate", "models_app", "train_app"]

models_app = typer.Typer(help="Models that can predict.", no_args_is_help=True)
train_app = typer.Typer(help="Train models; all but kbp need fdp-bridge[train].", no_args_is_help=True)
train_app.command("kbp")(train_kbp_command)

Patients = Annotated[Path, typer.Option(help="OpenKBP patients, packed or as CSV folders.")]
TrainedTo = Annotated[Path, typer.Option("--out", help="Folder for checkpoint, record and prepared patients.")]
Minutes = Annotated[float, typer.Option(min=0.01, help="Wall-clock budget, over all resumptions.")]
PlanLibrary = Annotated[
    Path | None, typer.Option(help="Library of plans of these patients: take its plans in the place of theirs.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Take up from the checkpoint in the folder.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn at random.")]
Backbone = Annotated[Literal["resunet", "mednext"], typer.Option(help="Blocks of the encoder.")]


def evaluate(
    data: Patients,
    model: Annotated[str, typer.Option(help="Model id; see `models list`.")],
    json_file: JsonFile = None,
    predictions: Annotated[Path | None, typer.Option(help="Also keep the predicted doses in this folder.")] = None,
    zoo: Annotated[Path | None, typer.Option(help="Folder of models; without it the built-in one.")] = None,
    mirror_average: Annotated[
        bool,
        typer.Option("--mirror-average/--one-view", help="Average with the mirror image's prediction; twice the time."),
    ] = True,
    sliders: Annotated[int, typer.Option(min=0, help="Also move all sliders on this many of the patients.")] = 0,
    library: PlanLibrary = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="With --library: weighting to ask for; without it reference, homogeneity, sparing and two."),
    ] = None,
) -> None:
    """Score a model on OpenKBP patients: doses by the official dose and DVH scores, estimated DVHs by their error."""
    from models.evaluation import evaluate as score
    from models.registry import gives_dose, load_card, load_model
    from models.steering import measure_sliders

    if not gives_dose(load_card(model, zoo)):
        if predictions or sliders or setting:
            raise typer.BadParameter("estimates DVHs: no doses to keep, to steer or to compare", param_hint="--model")
        evaluate_estimator(data, model, json_file, zoo, library)
        return
    predictor = load_model(model, zoo, mirror_average)
    if library is not None:
        if predictions or sliders:
            raise typer.BadParameter("cannot be had with --predictions or --sliders", param_hint="--library")
        evaluate_on_plans(predictor, data, library, setting, json_file)
        return
    if setting:
        raise typer.BadParameter("needs --library as well", param_hint="--setting")

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("patients", total=None)
        result = score(
            predictor,
            data,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            save_predictions=predictions,
        )
    out.print(f"model {result.model_id} on {result.n} {result.set_name} patients")
    out.print(f"dose score {result.dose_score_gy:.4f} Gy")
    out.print(f"DVH score {result.dvh_score_gy:.4f} Gy")
    if (within := result.within_sigma()) is not None:
        out.print(f"errors within one and two standard deviations: {100 * within[0]:.1f} %, {100 * within[1]:.1f} %")
    content = result.as_dict()
    if sliders:
        found = measure_sliders(predictor, data, sliders)
        shown = table(f"sliders on {sliders} patients", "slider", "n", "slope", "monotone %", "largest D95 drift Gy")
        for one in found:
            drift = f"{max(one.d95_drift_gy):.2f}"
            shown.add_row(one.slider, str(one.n), f"{one.slope:.2f}", f"{100 * one.monotone:.0f}", drift)
        out.print(shown)
        content["sliders"] = [one.as_dict() for one in found]
    write_json(json_file, content)


@models_app.command("list")
def models_list() -> None:
    """List the models that are installed."""
    from models.registry import list_models

    for card in list_models():
        out.print(f"{card.id}  {card.version}  {card.title}")


@models_app.command("show")
def models_show(
    model: Annotated[str, typer.Argument(help="Model id.")],
    zoo: Annotated[Path | None, typer.Option(help="Folder of models; without it the built-in one.")] = None,
) -> None:
    """Show the card of a model: what it is, whose plans it was trained for, and what it is known not to do."""
    from models.registry import load_card

    out.print(load_card(model, zoo).text())


@models_app.command("export")
def models_export(
    model: Annotated[str, typer.Argument(help="Model id.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder to make the model's folder in.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Make the model from this checkpoint of `train fdp`, under this id.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --checkpoint: OpenKBP patients to calibrate the uncertainty on.")
    ] = None,
    library: Annotated[
        Path | None, typer.Option(help="With --checkpoint: library of plans that it was trained on.")
    ] = None,
) -> None:
    """Copy a model, checked against its card, into a folder of its own; or make one from a checkpoint."""
    if checkpoint is None:
        from models.registry import export_model

        out.print(f"written: {export_model(model, folder)}")
        return
    if data is None:
        raise typer.BadParameter("needs --data as well", param_hint="--checkpoint")
    from models.training.export import export_fdp
    from models.training.plans import calibration_plans, training_plans

    plans, origin = training_plans(data, library, checkpoint.parent)
    out.print(f"written: {export_fdp(checkpoint, folder, model, calibration_plans(plans), origin)}")


@train_app.command("vqvae")
def train_vqvae_command(
    data: Patients,
    folder: TrainedTo,
    minutes: Minutes = 15.0,
    resume: Resume = False,
    seed: Seed = 1,
    batch: Annotated[int, typer.Option(min=2, help="Doses a step.")] = 4,
    library: PlanLibrary = None,
) -> None:
    """Train Stage I of FDP: a VQ-VAE of doses, whose decoder Stage II takes over."""
    from models.training.vqvae import VqVaeSettings, train_vqvae

    with _Bar("Stage I") as bar:
        plans = bar.plans(data, library, folder)
        path = train_vqvae(plans, folder, VqVaeSettings(minutes, seed=seed, batch=batch), resume, bar.show)
    out.print(f"written: {path}")


@train_app.command("fdp")
def train_fdp_command(
    data: Patients,
    folder: TrainedTo,
    minutes: Minutes = 120.0,
    stage1: Annotated[Path | None, typer.Option(help="Checkpoint of `train vqvae`; without it no Stage I.")] = None,
    start: Annotated[Path | None, typer.Option(help="Checkpoint or model folder to start from.")] = None,
    resume: Resume = False,
    seed: Seed = 1,
    batch: Annotated[int, typer.Option(min=1, help="Boxes a step.")] = 2,
    rate: Annotated[float, typer.Option(min=1e-6, help="Highest learning rate.")] = 2e-3,
    backbone: Backbone = "resunet",
    rotate: Annotated[float, typer.Option(min=0, max=1, help="Probability of a turn about z.")] = 0.0,
    ct_dropout: Annotated[float, typer.Option(min=0, max=1, help="Probability of a step without CT.")] = 0.2,
    adversarial: Annotated[float, typer.Option(min=0, help="Weight of the adversary; 0 does without.")] = 0.001,
    wishes_from: Annotated[float, typer.Option(min=0, help="Part of the budget after which wishes join.")] = 0.6,
    whole_from: Annotated[
        float, typer.Option(min=0, help="Part of the budget after which a step takes a whole patient.")
    ] = 0.8,
    steady: Annotated[
        bool, typer.Option(help="Keep the learning rate, and ship the plain mean of the weights of all steps.")
    ] = False,
    library: PlanLibrary = None,
) -> None:
    """Train Stage II of FDP: anatomy, beams and preferences to dose."""
    from models.fdp.network import NetworkSettings
    from models.training.dataset import Augmentation
    from models.training.fdp import FdpSettings, train_fdp

    settings = FdpSettings(
        minutes,
        network=NetworkSettings(backbone=backbone),
        stage1=stage1,
        start=start,
        seed=seed,
        batch=batch,
        rate=rate,
        memory=None if steady else FdpSettings.memory,
        augmentation=Augmentation(ct_dropout=ct_dropout, rotate=rotate),
        adversarial=adversarial,
        wishes_from=wishes_from,
        whole_from=whole_from,
    )
    with _Bar("Stage II") as bar:
        path = train_fdp(bar.plans(data, library, folder), folder, settings, resume, bar.show)
    out.print(f"written: {path}")


class _Bar(Progress):
    """Progress of a training, on a terminal as a bar and elsewhere not at all."""

    def __init__(self, title: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        super().__init__(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        self._title = title
        self._task = self.add_task(title, total=1.0)

    def plans(self, data: Path, library: Path | None, folder: Path) -> list[Patient]:
        """Read the training plans, prepared once and kept in the folder."""
        from models.training.plans import training_plans

        task = self.add_task("patients", total=None)
        return training_plans(
            data, library, folder, progress=lambda done, total: self.update(task, completed=done, total=total)
        )[0]

    def show(self, part: float, text: str) -> None:
        """Show where the training is."""
        self.update(self._task, completed=part, description=f"{self._title}: {text}")

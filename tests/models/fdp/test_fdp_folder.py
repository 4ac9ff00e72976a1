"""FDP out of its folder: what it opens, and what it does not take."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bridge.rt.errors import ModelRefusal
from models.fdp.channels import CHANNELS
from models.fdp.model import GRAPHS, FdpModel
from tests.models.fdp.known_networks import (
    PARAMETERS,
    KnownNetworks,
)


class TestFolder:
    def folder(self, path: Path, **changes: object) -> Path:
        content = PARAMETERS.model_dump(mode="json") | changes
        (path / "parameters.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def test_the_graphs_are_opened_from_the_folder(self, tmp_path: Path) -> None:
        opened: list[tuple[Path, tuple[str, ...]]] = []

        def open_backend(folder: Path, graphs: tuple[str, ...]) -> KnownNetworks:
            opened.append((folder, graphs))
            return KnownNetworks()

        model = FdpModel.from_folder(self.folder(tmp_path), open_backend, mirror_average=True)
        assert model.parameters == PARAMETERS
        assert model.mirror_average
        assert opened == [(tmp_path, GRAPHS)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"channels": [*CHANNELS[:5], "Parotid_L", "Parotid_R", *CHANNELS[7:]]},
            {"channels": CHANNELS[:-1]},
            {"box": [64, 64, 96]},
            {"spacing_mm": [3.0, 4.0, 4.5]},
        ],
    )
    def test_a_model_for_other_channels_or_another_frame_is_refused(
        self, tmp_path: Path, changes: dict[str, object]
    ) -> None:
        """Exchanged parotids have the right shape: only their names tell."""
        with pytest.raises(ModelRefusal) as raised:
            FdpModel.from_folder(self.folder(tmp_path, **{k: list(v) for k, v in changes.items()}), self.never)  # type: ignore[call-overload]
        assert raised.value.code == "model-frame"

    @pytest.mark.parametrize(
        "changes", [{"spread_factor": 0.0}, {"spread_factor": float("nan")}, {"gantry_angles_deg": []}, {"more": 1}]
    )
    def test_parameters_that_make_no_sense_are_refused(self, tmp_path: Path, changes: dict[str, object]) -> None:
        with pytest.raises(ModelRefusal) as raised:
            FdpModel.from_folder(self.folder(tmp_path, **changes), self.never)
        assert raised.value.code == "parameters-invalid"

    def test_a_folder_without_parameters_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelRefusal) as raised:
            FdpModel.from_folder(tmp_path, self.never)
        assert raised.value.code == "parameters-invalid"

    @staticmethod
    def never(folder: Path, graphs: tuple[str, ...]) -> KnownNetworks:
        raise AssertionError("nothing is opened that is refused")

"""What must not be predicted is refused with its reason, by the network and by the folder, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage

from bridge.dicom.phantom import PhantomCase
from bridge.workflow.worklist import WorklistRow
from tests.e2e.bench import GEOMETRIC, Bench, until
from tests.phantom import STRUCTURES, edit, write_plan_for, write_small_phantom

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One bridge for all refusals: none of them may disturb the next."""
    folder = tmp_path_factory.mktemp("refusals")
    settings: dict[str, object] = {
        **GEOMETRIC,
        "watched_folder": {"path": str(folder / "incoming"), "stable_s": 0.3, "give_up_s": 1.0},
        "completeness": {"quiet_s": 0.3},
    }
    bench = Bench(folder, settings)
    bench.start()
    yield bench
    bench.stop()


@pytest.fixture
def phantom(tmp_path: Path, request: pytest.FixtureRequest) -> PhantomCase:
    return write_small_phantom(tmp_path / "dicom", patient_id=request.node.name[:60])


def case_of(bench: Bench, phantom: PhantomCase) -> WorklistRow | None:
    wanted = phantom.identity.study_instance_uid
    return next((case for case in bench.cases() if case.study_instance_uid == wanted), None)


def refusal_of(bench: Bench, phantom: PhantomCase) -> str:
    """Send a phantom and give the reason for which it is refused."""
    assert bench.send(*sorted(phantom.structure_set_path.parent.glob("*.dcm"))).returncode == 0

    def refused() -> bool:
        case = case_of(bench, phantom)
        return case is not None and case.state == "refused"

    until(refused, 30, f"a refusal ({bench.log})")
    case = case_of(bench, phantom)
    assert case is not None
    return case.reason


def test_no_target_structure(bench: Bench, tmp_path: Path) -> None:
    without = [structure for structure in STRUCTURES if not structure.name.startswith("PTV")]
    reason = refusal_of(bench, write_small_phantom(tmp_path / "dicom", without, patient_id="NO-TARGET"))
    assert "no-target" in reason
    assert "Set the type of the target in the planning system" in reason


def test_two_prescriptions_for_one_target(bench: Bench, phantom: PhantomCase) -> None:
    write_plan_for(phantom, phantom.structure_set_path.with_name("RP.dcm"), {2: 66.0})
    reason = refusal_of(bench, phantom)
    assert "prescription-conflict" in reason
    assert "66 Gy" in reason
    assert "60 Gy" in reason


def test_structures_in_another_frame_of_reference(bench: Bench, phantom: PhantomCase) -> None:
    def move(dataset: Dataset) -> None:
        dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3.4.5"
        if "FrameOfReferenceUID" in dataset:
            dataset.FrameOfReferenceUID = "1.2.3.4.5"
        for roi in dataset.StructureSetROISequence:
            roi.ReferencedFrameOfReferenceUID = "1.2.3.4.5"

    edit(phantom.structure_set_path, move)
    assert "frame-of-reference" in refusal_of(bench, phantom)


def test_two_patients_in_one_study(bench: Bench, phantom: PhantomCase) -> None:
    edit(phantom.ct_paths[3], lambda dataset: setattr(dataset, "PatientID", "SOMEBODY-ELSE"))
    reason = refusal_of(bench, phantom)
    assert "two-patients" in reason
    assert "SOMEBODY-ELSE" not in reason + bench.log


def test_other_content_under_a_known_uid_is_kept_beside_it(bench: Bench, phantom: PhantomCase, tmp_path: Path) -> None:
    other = tmp_path / "other.dcm"
    other.write_bytes(phantom.ct_paths[2].read_bytes())
    edit(other, lambda dataset: setattr(dataset, "PixelData", bytes(len(dataset.PixelData))))
    before = len(list(bench.data.glob("spool/objects/*/*.dcm")))
    assert bench.send(phantom.ct_paths[2]).returncode == 0
    answer = bench.send(other)
    assert "0x0111" in (answer.stdout + answer.stderr).lower() or answer.returncode != 0
    assert "content-conflict" in refusal_of(bench, phantom)
    assert len(list(bench.data.glob("spool/objects/*/*.dcm"))) == before + len(phantom.paths) + 1


def test_an_mr_image_is_not_even_negotiated(bench: Bench, phantom: PhantomCase, tmp_path: Path) -> None:
    image = tmp_path / "mr.dcm"
    image.write_bytes(phantom.ct_paths[0].read_bytes())
    edit(image, as_mr)
    before = len(list(bench.data.glob("spool/objects/*/*.dcm")))
    assert bench.send(image).returncode != 0
    assert len(list(bench.data.glob("spool/objects/*/*.dcm"))) == before
    assert "MR Image Storage" in bench.log


def as_mr(dataset: Dataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.Modality = "MR"


def with_path_in_uid(dataset: Dataset) -> None:
    uid = UID("1.2.840/../../../escaped-from-uid", validation_mode=0)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the UID that is bad on purpose
@pytest.mark.parametrize(
    ("change", "code"),
    [(as_mr, "sop-class-unsupported"), (with_path_in_uid, "uid-invalid"), (None, "truncated")],
)
def test_the_folder_rejects_with_a_reason_and_keeps_the_file(
    bench: Bench, phantom: PhantomCase, change: Callable[[Dataset], None] | None, code: str
) -> None:
    source = phantom.ct_paths[0]
    if change is None:
        source.write_bytes(source.read_bytes()[:-1001])
    else:
        edit(source, change)
    content = source.read_bytes()
    incoming = bench.folder / "incoming"
    (incoming / f"{code}.dcm").write_bytes(content)

    def reasons() -> list[Path]:
        found = incoming.glob("rejected/*.reason.json")
        return [path for path in found if json.loads(path.read_text())["code"] == code]

    until(reasons, 20, f"the rejection ({bench.log})")

    def kept() -> bool:  # the reason is written before the file is moved to it
        return content in [path.read_bytes() for path in (incoming / "rejected").iterdir() if path.suffix != ".json"]

    until(kept, 5, "the file's move beside its reason")
    assert not list(bench.folder.parent.rglob("escaped-from-uid*"))


def test_the_bridge_still_works_after_all_that(bench: Bench, phantom: PhantomCase) -> None:
    assert bench.send(*phantom.paths).returncode == 0

    def finished() -> bool:
        case = case_of(bench, phantom)
        return case is not None and case.state == "delivering"

    until(finished, 30, f"a prediction ({bench.log})")
    assert pydicom.dcmread(next(bench.data.glob("cases/*/*/rtdose.dcm"))).Modality == "RTDOSE"

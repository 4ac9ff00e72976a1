"""The same study through a cluster: other processes, the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.cohort.studies import study, write_cohort

distributed = pytest.importorskip("distributed", reason="the extra [scale] is not installed")


def test_two_workers_of_a_cluster_find_the_numbers_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    cohort = write_cohort(tmp_path / "cohort")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, local_directory=str(tmp_path)
    )
    with cluster, distributed.Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        there = study(cohort, tmp_path / "there", executor=client.get_executor())
    here = study(cohort, tmp_path / "here")
    assert (there.made, there.left_out) == (2, ())
    assert there.results == here.results
    for name in ("pt_1.json", "pt_2.json"):
        one, other = ((tmp_path / folder / "patients" / name).read_bytes() for folder in ("there", "here"))
        assert one == other

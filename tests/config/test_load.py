from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.errors import ConfigError, Problem
from config.load import load_settings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as refused:
        load_settings(write(tmp_path, text))
    assert refused.value.source == str(tmp_path / "site.yaml")
    return refused.value.problems


def test_the_defaults_hold_without_a_file() -> None:
    settings = load_settings(None)
    assert (settings.node.ae_title, settings.node.host, settings.node.port) == ("FDP_BRIDGE", "127.0.0.1", 11112)
    assert settings.node.peers == ()
    assert settings.release.predicted_dose == "after_approval"
    assert settings.dvh.end_caps == "none"
    assert settings.extraction.volumes_percent == (0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 95.0)


def test_a_site_changes_only_what_it_names(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "node:\n  port: 4242\nextraction:\n  ring: {outer_mm: 20}\n"))
    assert settings.node.port == 4242
    assert settings.node.ae_title == "FDP_BRIDGE"
    assert (settings.extraction.ring.inner_mm, settings.extraction.ring.outer_mm) == (3.0, 20.0)


def test_a_list_replaces_the_default_list(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "extraction:\n  mean_objective_for: [Heart]\n"))
    assert settings.extraction.mean_objective_for == ("Heart",)


def test_an_empty_file_changes_nothing_but_the_folder(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "# nothing\n"))
    assert settings.data_dir == tmp_path / "fdp-bridge-data"


def test_overrides_come_before_the_file_and_are_checked_like_it(tmp_path: Path) -> None:
    path = write(tmp_path, "prediction:\n  dose_grid_mm: 3\n  model: other\n")
    settings = load_settings(path, {"prediction": {"model": "geometric", "oar_weights": {"Parotid_L": 2.0}}})
    assert (settings.prediction.model, settings.prediction.dose_grid_mm) == ("geometric", 3.0)
    assert settings.prediction.oar_weights == {"Parotid_L": 2.0}
    with pytest.raises(ConfigError, match=r"prediction\.oar_weights\.Parotid: 'Parotid' is not a standard"):
        load_settings(path, {"prediction": {"oar_weights": {"Parotid": 2.0}}})


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    settings = load_settings(write(folder, "data_dir: ../data\nwatched_folder: {path: /srv/in}\n"))
    assert settings.data_dir == tmp_path / "data"
    assert settings.watched_folder.path == Path("/srv/in")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nod: {}", "nod: unknown key; did you mean node?"),
        ("node: {prot: 1}", "node.prot: unknown key; did you mean port?"),
        (
            "node: {peers: [{ae_title: A, hosts: [10.0.0.1], prot: 1}]}",
            "node.peers[0].prot: unknown key; known: ae_title, hosts",
        ),
        (
            "destinations: [{name: x, ae_title: X, host: h, port: 1, nmae: x}]",
            "destinations[0].nmae: unknown key; did you mean name?",
        ),
        (
            "node: {tls: {certificate: c, key: k, ca: a, certificat: x}}",
            "node.tls.certificat: unknown key; did you mean certificate?",
        ),
        ("node: {port: '11112'}", "node.port: must be a valid integer, got '11112'"),
        ("node: {port: 011112}", "node.port: must be a valid integer, got '011112'"),
        ("node: {port: 1e4}", "node.port: must be a valid integer, got 10000.0"),
        ("node: {port: 65536}", "node.port: must be less than or equal to 65535, got 65536"),
        ("node: {port: true}", "node.port: must be a valid integer, got True"),
        ("node: {port: 11:12}", "node.port: must be a valid integer, got '11:12'"),
        ("node: {accept_any_peer: yes}", "node.accept_any_peer: must be a valid boolean, got 'yes'"),
        ("node: {acse_timeout_s: 0}", "node.acse_timeout_s: must be greater than 0, got 0"),
        ("node: {acse_timeout_s: .inf}", "node.acse_timeout_s: must be a finite number, got inf"),
        ("node: {acse_timeout_s: .nan}", "node.acse_timeout_s: must be a finite number, got nan"),
        ("node:", "node: must be a section with keys below it, got None"),
        ("destinations: {name: x}", "destinations: must be a list, got {'name': 'x'}"),
        ("rtdose: {bits: 8}", "rtdose.bits: must be 16 or 32, got 8"),
        (
            "release: {predicted_dose: always}",
            "release.predicted_dose: must be 'automatic' or 'after_approval', got 'always'",
        ),
        (
            "node: {ae_title: FAR_TOO_LONG_TITLE}",
            "node.ae_title: must be 1 to 16 printable ASCII characters without backslash or outer spaces, "
            "got 'FAR_TOO_LONG_TITLE'",
        ),
        (
            "prescription: {levels: {'PTV(': 70}}",
            "prescription.levels.PTV(: must be a regular expression "
            "(missing ), unterminated subpattern at position 3), got 'PTV('",
        ),
        ("prescription: {levels: {PTV: 7000}}", "prescription.levels.PTV: must be less than or equal to 120, got 7000"),
        ("prescription: {fractions: 0}", "prescription.fractions: must be greater than or equal to 1, got 0"),
        ("extraction: {margin_percent: 4}", "extraction.margin_percent: must be less than or equal to 3, got 4"),
        ("dvh: {sample_mm: 0}", "dvh.sample_mm: must be greater than 0, got 0"),
    ],
)
def test_a_problem_is_named_with_its_path(tmp_path: Path, text: str, expected: str) -> None:
    assert [str(problem) for problem in problems(tmp_path, text)] == [expected]


@pytest.mark.parametrize(
    ("folder", "other"), [("data/share", "data_dir"), ("in", "watched_folder.path"), (".", "watched_folder.path")]
)
def test_the_folder_for_eclipse_lies_apart(tmp_path: Path, folder: str, other: str) -> None:
    text = f"data_dir: data\nwatched_folder: {{path: in}}\neclipse: {{drop_folder: {folder}}}\n"
    found = [problem for problem in problems(tmp_path, text) if problem.path == "eclipse.drop_folder"]
    assert other in " ".join(problem.message for problem in found)
    apart = write(tmp_path, "data_dir: data\neclipse: {drop_folder: share}\n")
    assert load_settings(apart).eclipse.drop_folder == tmp_path / "share"
    assert load_settings(None).eclipse.drop_folder is None


@pytest.mark.parametrize("title", ["", " A", "A ", "A\\\\B", "Ä", "A\\tB", "12345678901234567"])
def test_ae_titles_that_dicom_cannot_carry(tmp_path: Path, title: str) -> None:
    assert [p.path for p in problems(tmp_path, f'node: {{ae_title: "{title}"}}')] == ["node.ae_title"]


@pytest.mark.parametrize("network", ["10.0.0.1/24", "10.0.0", "example.org", "2001:db8::1/33"])
def test_networks_with_host_bits_or_names_are_refused(tmp_path: Path, network: str) -> None:
    text = f"node: {{peers: [{{ae_title: A, hosts: ['{network}']}}]}}"
    assert [p.path for p in problems(tmp_path, text)] == ["node.peers[0].hosts[0]"]


def test_a_missing_key_of_a_list_member_is_named(tmp_path: Path) -> None:
    found = problems(tmp_path, "destinations: [{name: tps, ae_title: TPS, port: 104}]")
    assert [str(problem) for problem in found] == ["destinations[0].host: is missing"]


def test_an_empty_list_of_addresses_is_refused(tmp_path: Path) -> None:
    assert [p.path for p in problems(tmp_path, "node: {peers: [{ae_title: A, hosts: []}]}")] == ["node.peers[0].hosts"]


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    text = "node: {prot: 1, port: -1}\nrtdose: {bits: 8}\ndelivery: {factor: 0.5}\nfoo: 1\n"
    assert {problem.path for problem in problems(tmp_path, text)} == {
        "node.prot", "node.port", "rtdose.bits", "delivery.factor", "foo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data_dir: /data\nwatched_folder: {path: /data/in}", "watched_folder.path"),
        ("data_dir: /in/data\nwatched_folder: {path: /in}", "watched_folder.path"),
        ("data_dir: /data\nwatched_folder: {path: /x/../data}", "watched_folder.path"),
        ("node: {port: 104, tls: {certificate: a, key: b, ca: c, port: 104}}", "node.tls.port"),
        (
            "destinations: [{name: a, ae_title: A, host: h, port: 1}, {name: a, ae_title: B, host: h, port: 2}]",
            "destinations[1].name",
        ),
        ("delivery: {first_retry_s: 60, longest_retry_s: 30}", "delivery.longest_retry_s"),
        ("watched_folder: {stable_s: 5, give_up_s: 5}", "watched_folder.give_up_s"),
        ("extraction: {ring: {inner_mm: 30}}", "extraction.ring.outer_mm"),
        ("extraction: {mean_objective_for: [Hart]}", "extraction.mean_objective_for[0]"),
        ("structure_names: {aliases: {Herz: Hart}}", "structure_names.aliases.Herz"),
        ("structure_names: {patterns: {'herz.*': Hart}}", "structure_names.patterns.herz.*"),
        ("structure_names: {aliases: {Parotid right: Parotid_L}}", "structure_names.aliases.Parotid right"),
        ("structure_names: {aliases: {Cord_PRV: SpinalCord}}", "structure_names.aliases.Cord_PRV"),
        ("structure_names: {aliases: {Parotid_L-PTV: Parotid_L}}", "structure_names.aliases.Parotid_L-PTV"),
    ],
)
def test_settings_that_contradict_each_other(tmp_path: Path, text: str, path: str) -> None:
    assert [problem.path for problem in problems(tmp_path, text)] == [path]


def test_an_unknown_standard_name_gets_a_suggestion(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "structure_names: {aliases: {Myelon: SpinalChord}}")
    assert problem.message == "'SpinalChord' is not a standard structure name; did you mean SpinalCord?"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings(None).node.port = 1  # type: ignore[misc]


def test_the_hash_follows_what_shapes_a_result_and_nothing_else(tmp_path: Path) -> None:
    one = load_settings(write(tmp_path, "data_dir: /d\ndvh: {end_caps: half_slice}\nnode: {port: 1}\n"))
    elsewhere = load_settings(write(tmp_path, "# other form\ndvh:\n  end_caps: half_slice\nlogging: {level: debug}\n"))
    other = load_settings(write(tmp_path, "dvh: {end_caps: none}\n"))
    assert one.sha256 == elsewhere.sha256 != other.sha256
    assert len(one.sha256) == 64


def test_the_example_is_valid() -> None:
    settings = load_settings(Path(__file__).parents[2] / "config" / "example.yaml")
    assert [peer.ae_title for peer in settings.node.peers] == ["ECLIPSE_DB", "CT_EXPORT"]
    assert settings.prescription.levels["PTV_(Mid|Int).*"] == 63.0


@pytest.mark.parametrize(
    ("review", "path", "said"),
    [
        ("{protocol: prostate}", "review.protocol", "known: head_and_neck"),
        (
            "{presets: {Left: {oar_weights: {Parotis_L: 1.2}}}}",
            "review.presets.Left.oar_weights.Parotis_L",
            "did you mean Parotid_L",
        ),
        ("{presets: {Left: {oar_weight: -1}}}", "review.presets.Left.oar_weight", "greater than or equal to 0"),
        ("{presets: {Left: {weight: 1}}}", "review.presets.Left.weight", "unknown key"),
    ],
)
def test_goals_and_presets_that_nobody_could_use_are_refused(tmp_path: Path, review: str, path: str, said: str) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text(f"review: {review}\n")
    with pytest.raises(ConfigError) as refused:
        load_settings(file)
    (problem,) = refused.value.problems
    assert problem.path == path
    assert said in problem.message


@pytest.mark.parametrize(
    ("review", "path"),
    [
        ("{host: 0.0.0.0}", "review.tls"),
        ("{host: 192.0.2.1}", "review.tls"),
        ("{origin: 'http://review.example.org', tls: {certificate: c.pem, key: k.pem}}", "review.origin"),
        ("{origin: 'https://review.example.org/room'}", "review.origin"),
    ],
)
def test_a_review_room_that_would_send_passwords_in_the_open_is_refused(tmp_path: Path, review: str, path: str) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text(f"review: {review}\n")
    with pytest.raises(ConfigError) as refused:
        load_settings(file)
    assert [problem.path for problem in refused.value.problems] == [path]

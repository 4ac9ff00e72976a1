"""The objective template that Eclipse imports: XML, version 1.7, as seen to import into Eclipse 13.6.

Dose is total dose in Gy, also on systems set to cGy; volume is percent of the structure. Numbers are written with a
point and no exponent whatever the locale. Node order is kept, because readers of this format depend on it.

Structures have the ids that Eclipse takes. Where a name had to be shortened for that, a comment at the end, which
readers of XML skip, holds the table by which :func:`read_template` gives the name back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Comment, Element, SubElement

from bridge.rt.errors import DicomRefusal, StorageFailure
from bridge.rt.findings import Finding
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE
from bridge.rt.whole_file import write_whole
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import (
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
)

__all__ = ["TemplateObjective", "read_template", "template_findings", "template_xml", "write_template"]

_VERSION = "1.7"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_KINDS = _POINT, _LINE, _MEAN, _GEUD = "0", "1", "2", "3"
_OPERATORS = {"upper": "0", "lower": "1"}
_EXACT, _NO_OPERATOR = "2", "99"
_TARGET_COLOUR, _OTHER_COLOUR = 255, 65280
"""Red and green as R + 256 G + 65536 B."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August",
    "September", "October", "November", "December",
)  # fmt: skip
"""In English whatever the locale."""

_LONGEST_DESCRIPTION = 254
"""What the smallest comment field of Eclipse takes; no limit is known for a template's description."""

_TABLE = "fdp-bridge structure ids "
"""How the comment begins that holds the names which were shortened."""


@dataclass(frozen=True)
class TemplateObjective:
    """One ``Objective`` node: a whole objective, or one point of a line.

    Attributes
    ----------
    structure
        Name of the structure.
    kind
        ``0`` point, ``1`` line, ``2`` mean, ``3`` gEUD.
    operator
        ``0`` upper, ``1`` lower, ``2`` exact, ``99`` none (mean).
    dose_gy, volume_percent, priority, a
        Volume and gEUD exponent are None where the kind has none.
    group
        0, or the number that the points of one line share.
    """

    structure: str
    kind: str
    operator: str
    dose_gy: float
    volume_percent: float | None
    priority: float
    a: float | None
    group: int


class _Reader(ElementTree.TreeBuilder):
    """A tree builder that refuses document types, and with them every entity but the five of XML; it keeps comments."""

    def __init__(self) -> None:
        super().__init__()
        self.comments: list[str] = []

    def comment(self, text: str | None) -> None:  # type: ignore[override]  # it has no place in the tree
        self.comments.append(text or "")

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"a document type {name!r} has no place in it")


def write_template(objectives: ObjectiveSet, path: Path) -> None:
    """Write the template of an objective set; the file appears whole or not at all.

    Raises
    ------
    StorageFailure
        The file cannot be written.
    """
    try:
        write_whole(path, template_xml(objectives))
    except OSError as error:
        raise StorageFailure("template-not-written", f"The template cannot be written: {error.strerror}.") from error


def template_xml(objectives: ObjectiveSet) -> bytes:
    """Give the template as UTF-8 XML."""
    ElementTree.register_namespace("xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root = Element("ObjectiveTemplate", Version=_VERSION)
    _preview(root, objectives)
    _text(root, "Type", "Helios")
    _optimizer(root, objectives.normal_tissue)
    structures = SubElement(root, "ObjectivesAllStructures")
    targets = {level.roi_name for level in objectives.prescription.levels}
    targets |= {s.name for s in objectives.derived_structures if s.operation == "subtract" and s.of[0] in targets}
    group = 0
    for name in dict.fromkeys(objective.roi_name for objective in objectives.objectives):
        of_one = [objective for objective in objectives.objectives if objective.roi_name == name]
        group = _structure(structures, objectives.structure_ids[name], name in targets, of_one, group)
    if objectives.shortened_names:
        # two hyphens would end the comment; JSON can say them in another way
        table = json.dumps(objectives.shortened_names).replace("-", "\\u002d")
        root.append(Comment(f" {_TABLE}{table} "))
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def template_findings(objectives: ObjectiveSet) -> tuple[Finding, ...]:
    """Tell what of an objective set the template does not have."""
    if not _is_left_out(objectives.normal_tissue):
        return ()
    message = (
        "The template has no normal tissue objective: the unit of its distance there is not established, and a factor "
        "of ten in a fall-off is not for us to guess. Set it by hand, or let the plug-in take the objectives."
    )
    return (Finding("template-without-nto", "warning", message),)


def read_template(path: Path) -> tuple[TemplateObjective, ...]:
    """Read the objectives of a template back, one row for each ``Objective`` node.

    Raises
    ------
    DicomRefusal
        The file is not an objective template (``template-invalid``).
    StorageFailure
        The file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageFailure("template-read", f"The template cannot be read: {error.strerror}.", file=path) from error
    try:
        reader = _Reader()
        parser = ElementTree.XMLParser(target=reader)  # noqa: S314 - a document type is refused
        root = ElementTree.fromstring(data, parser)  # noqa: S314 - as above
        if root.tag != "ObjectiveTemplate":
            raise ValueError(f"its root is {root.tag[:100]!r}, not 'ObjectiveTemplate'")
        names = _names(reader.comments)
        return tuple(
            _row(names.get(structure.attrib["ID"], structure.attrib["ID"]), node)
            for structure in root.iterfind("ObjectivesAllStructures/ObjectivesOneStructure")
            for node in structure.iterfind("StructureObjectives/Objective")
        )
    except (ElementTree.ParseError, LookupError, ValueError, TypeError) as error:
        raise DicomRefusal("template-invalid", f"The file is not an objective template: {error}.") from error


def _names(comments: Iterable[str]) -> dict[str, str]:
    """Give the names that were shortened, by their ids."""
    tables = [comment.strip() for comment in comments if comment.strip().startswith(_TABLE)]
    if not tables:
        return {}
    ids = json.loads(tables[0].removeprefix(_TABLE))
    if len(tables) > 1 or not isinstance(ids, dict) or len(set(ids.values())) < len(ids):
        raise ValueError("its table of structure ids is none")
    return {identifier: name for name, identifier in ids.items()}


def _row(structure: str, node: Element) -> TemplateObjective:
    def number(tag: str) -> float | None:
        text = node.findtext(tag)
        if not text:
            return None
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{tag} of an objective of {structure} is {text}")
        return value

    dose, priority = number("Dose"), number("Priority")
    kind, operator, group = node.findtext("Type"), node.findtext("Operator"), node.findtext("Group")
    if dose is None or priority is None or kind is None or operator is None or group is None:
        raise ValueError(f"an objective of {structure} lacks its type, operator, dose, priority or group")
    if kind not in _KINDS or operator not in {*_OPERATORS.values(), _EXACT, _NO_OPERATOR}:
        raise ValueError(f"an objective of {structure} has the unknown type {kind} or operator {operator}")
    return TemplateObjective(
        structure, kind, operator, dose, number("Volume"), priority, number("ParameterA"), int(group)
    )


def _description(objectives: ObjectiveSet) -> str:
    """Say what it is, the start of its hash, and which structures must be made before it fits."""
    text = f"{objectives.dose_source.upper()} DOSE - {NOT_FOR_CLINICAL_USE} - {objectives.sha256[:12]}"
    if _is_left_out(objectives.normal_tissue):
        text += ". Without its normal tissue objective"
    derived = [structure.name for structure in objectives.derived_structures]
    if not derived:
        return text
    named = f"{text}. Make first: {', '.join(derived)}."
    if len(named) <= _LONGEST_DESCRIPTION:
        return named
    return f"{text}. Make first: the {len(derived)} derived structures of objectives.json."


def _preview(root: Element, objectives: ObjectiveSet) -> None:
    created = objectives.provenance.created_utc.astimezone(UTC)
    when = f" {_MONTHS[created.month - 1]} {created:%d %Y %H:%M:%S}:000"
    SubElement(
        root,
        "Preview",
        {
            "ID": f"FDP_{objectives.sha256[:8]}",  # of its own: a template of another case must not hide behind it
            "Type": "Objective",
            "ApprovalStatus": "Unapproved",
            "Diagnosis": "",
            "TreatmentSite": "",
            "AssignedUsers": "",
            "Description": _description(objectives),
            "LastModified": when,
            "ApprovalHistory": f"fdp-bridge Created [{when} ]",
        },
    )


def _optimizer(root: Element, normal_tissue: NormalTissueObjective | None) -> None:
    helios = SubElement(root, "Helios", DefaultFixedJaws="false", Interpolate="false", UseColors="false")
    for tag, value in (
        ("DefaultSmoothingX", "40"),
        ("DefaultSmoothingY", "30"),
        ("DefaultMinimizeDose", "0"),
        ("DefaultOptimizationType", "Beamlet"),
        ("MaxIterations", "1000"),
        ("MaxTime", "20"),
    ):
        _text(helios, tag, value)
    _normal_tissue(helios, normal_tissue)
    geometry = SubElement(helios, "Geos")
    for tag, value in (
        ("InitialFieldDistribution", "Coplanar"),
        ("MinimumNumberOfFields", "5"),
        ("MaximumNumberOfFields", "9"),
        ("MaximumElevationAngleForNonCoplanarFields", "10"),
        ("MaximumCollimatorVariation", "10"),
        ("LocalGeometricOptimizationMode", "None"),
    ):
        _text(geometry, tag, value)
    arcs = SubElement(helios, "Imat", UseMU="false", JawTracking="true")
    for tag, value in (("MUWeight", "50"), ("MinMU", "0"), ("MaxMU", "1500")):
        _text(arcs, tag, value)


def _is_left_out(objective: NormalTissueObjective | None) -> bool:
    """Whether the template cannot hold it: whether the distance of a manual one is in mm or cm there is not known."""
    return objective is not None and not objective.is_automatic


def _normal_tissue(helios: Element, asked: NormalTissueObjective | None) -> None:
    """Write the normal tissue objective: none, or an automatic one."""
    objective = None if _is_left_out(asked) else asked
    node = SubElement(helios, "NormalTissueObjective")
    for tag, value in (
        ("Use", "true" if objective else "false"),
        ("Priority", _number(objective.priority) if objective else "0"),
        ("DistanceFromTargetBorder", "0"),
        ("StartDose", "100"),
        ("EndDose", "50"),
        ("FallOff", "0.15"),
        ("Auto", "true" if objective else "false"),
    ):
        _text(node, tag, value)


def _structure(parent: Element, identifier: str, is_target: bool, objectives: Sequence[Objective], group: int) -> int:
    """Write one structure; give the number of the last line group used."""
    node = SubElement(parent, "ObjectivesOneStructure", ID=identifier, NAME="", SurfaceOnly="false")
    target = SubElement(node, "StructureTarget")
    for tag, value in (
        ("VolumeID", ""),
        ("VolumeCode", ""),
        ("VolumeType", "PTV" if is_target else "Organ"),
        ("VolumeCodeTable", ""),
    ):
        _text(target, tag, value)
    for tag in ("Distance", "SamplePoints"):
        SubElement(node, tag, {_NIL: "true"})
    _text(node, "Color", str(_TARGET_COLOUR if is_target else _OTHER_COLOUR))
    listed = SubElement(node, "StructureObjectives")
    for objective in objectives:
        group += isinstance(objective, LineObjective)
        for values in _nodes(objective, group):
            _objective(listed, values)
    return group


def _nodes(
    objective: Objective, group: int
) -> Iterable[tuple[str, str, float, float | None, float, float | None, int]]:
    """Give type, operator, dose, volume, priority, parameter a and group of the nodes of one objective.

    All points of a line share a group and a priority; everything else is in group 0.
    """
    match objective:
        case LineObjective():
            operator = _OPERATORS[objective.operator]
            for point in objective.curve:
                yield _LINE, operator, point.dose_gy, point.volume_percent, objective.priority, None, group
        case MeanObjective():
            yield _MEAN, _NO_OPERATOR, objective.dose_gy, None, objective.priority, None, 0
        case GeudObjective():
            operator = _OPERATORS[objective.operator]
            yield _GEUD, operator, objective.dose_gy, None, objective.priority, objective.a, 0
        case _:
            operator = _OPERATORS[objective.operator]
            yield _POINT, operator, objective.dose_gy, objective.volume_percent, objective.priority, None, 0


def _objective(parent: Element, values: tuple[str, str, float, float | None, float, float | None, int]) -> None:
    kind, operator, dose_gy, volume_percent, priority, a, group = values
    node = SubElement(parent, "Objective")
    _text(node, "Type", kind)
    _text(node, "Operator", operator)
    _text(node, "Dose", _number(dose_gy))
    _nillable(node, "Volume", volume_percent)
    _text(node, "Priority", _number(priority))
    _nillable(node, "ParameterA", a)
    _text(node, "Group", str(group))


def _nillable(parent: Element, tag: str, value: float | None) -> None:
    if value is None:
        SubElement(parent, tag, {_NIL: "true"})
    else:
        _text(parent, tag, _number(value))


def _text(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = text


def _number(value: float) -> str:
    """Give a number with at most six decimals, a point, and no exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".")

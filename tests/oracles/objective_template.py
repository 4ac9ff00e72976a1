"""A reader of Eclipse objective templates, written from the facts sheet (section 2) alone, with another XML library.

It knows nothing of the code that writes templates. Facts: ``Type`` 0 point, 1 line, 2 mean, 3 gEUD; ``Operator`` 0
upper, 1 lower, 2 exact, 99 none; ``Dose`` is the total in Gy, ``Volume`` percent of the structure; the points of one
line share group, priority and operator, and the group of everything else is 0; ``xsi:nil`` stands for no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.dom import minidom
from xml.dom.minidom import Element

XSI = "http://www.w3.org/2001/XMLSchema-instance"
KINDS = {0: "point", 1: "line", 2: "mean", 3: "geud"}
OPERATORS = {0: "upper", 1: "lower", 2: "exact", 99: None}


@dataclass(frozen=True)
class Asked:
    """One objective; a line has its points as (volume, dose), every other kind has its dose and one number or none."""

    structure: str
    kind: str
    operator: str | None
    priority: float
    dose_gy: float | None = None
    volume_percent: float | None = None
    a: float | None = None
    curve: tuple[tuple[float, float], ...] = ()


def read(path: Path) -> list[Asked]:
    """All objectives of a template, structure by structure; a line stands where its first point does."""
    document = minidom.parseString(path.read_bytes())  # noqa: S318 - what the test wrote
    root = document.documentElement
    assert root is not None
    assert root.tagName == "ObjectiveTemplate"
    (body,) = children(root, "ObjectivesAllStructures")
    found: list[Asked] = []
    for structure in children(body, "ObjectivesOneStructure"):
        (listed,) = children(structure, "StructureObjectives")
        found += objectives_of(structure.getAttribute("ID"), children(listed, "Objective"))
    return found


def normal_tissue(path: Path) -> tuple[bool, bool, float]:
    """Whether the normal tissue objective is in use, whether it is automatic, and its priority."""
    (node,) = minidom.parseString(path.read_bytes()).getElementsByTagName("NormalTissueObjective")  # noqa: S318 - as above
    return text(node, "Use") == "true", text(node, "Auto") == "true", float(text(node, "Priority"))


def objectives_of(structure: str, nodes: list[Element]) -> list[Asked]:
    lines: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    found: list[Asked | tuple[str, str, str]] = []
    for node in nodes:
        kind, operator = KINDS[int(text(node, "Type"))], OPERATORS[int(text(node, "Operator"))]
        dose, priority, volume = float(text(node, "Dose")), text(node, "Priority"), number(node, "Volume")
        group = text(node, "Group")
        assert (kind == "line") == (group != "0")
        if kind == "line":
            assert volume is not None
            key = (group, priority, str(operator))
            if key not in lines:
                found.append(key)
            lines.setdefault(key, []).append((volume, dose))
        else:
            a = number(node, "ParameterA")
            found.append(Asked(structure, kind, operator, float(priority), dose, volume, a))
    return [
        one if isinstance(one, Asked) else Asked(structure, "line", one[2], float(one[1]), curve=tuple(lines[one]))
        for one in found
    ]


def children(node: Element, tag: str) -> list[Element]:
    return [child for child in node.childNodes if isinstance(child, Element) and child.tagName == tag]


def text(node: Element, tag: str) -> str:
    (child,) = children(node, tag)
    return "".join(part.data for part in child.childNodes)  # type: ignore[union-attr]


def number(node: Element, tag: str) -> float | None:
    (child,) = children(node, tag)
    return None if child.getAttributeNS(XSI, "nil") == "true" else float(text(node, tag))

"""The picture of the review room in the documentation: the built-in phantom, with the left parotid's slider moved.

    python -m tests.benchmarks.review_room_picture --out docs/images/review-room.png

No patient's picture goes into the documentation.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.dicom.phantom import write_head_and_neck_phantom
from tests.benchmarks.review_room import move, opened


def draw(out: Path) -> None:
    """Write the picture."""
    with TemporaryDirectory() as folder, opened(write_head_and_neck_phantom(Path(folder)).paths) as page:
        move(page, "oar_weight.Parotid_L", 1.25)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=out)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Make the picture of the review room from the built-in phantom.")
    parser.add_argument("--out", type=Path, required=True)
    draw(parser.parse_args().out)


if __name__ == "__main__":
    main()

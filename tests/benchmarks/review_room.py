"""How long from a slider's move until DVHs, figures and pictures show it, measured in the browser.

``python -m tests.benchmarks.review_room --case DIR [--moves 30]`` serves a folder of CT and RTSTRUCT, opens the case in
headless Chromium, moves sliders one after the other, and prints the median and 95th percentile. It also says what
makes them up: the preview (prediction, DVHs and goals, from the question to the answer), the dose's way to the browser,
and the browser's own work.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from playwright.sync_api import Page

from bridge.web.passwords import Passwords
from bridge.workflow.users import Role, add_user
from tests.e2e.bench import Bench, free_port
from tests.web.browser import PASSWORD
from tests.web.chromium import chromium, log_in, open_viewer, page_of

_MOVE = """async ([name, value]) => {
  const root = document.getElementById('viewer'), slider = document.querySelector(`[data-wish="${name}"]`);
  performance.clearResourceTimings();
  const before = Number(root.dataset.answered ?? 0), began = performance.now();
  slider.value = String(value);
  slider.dispatchEvent(new Event('input'));
  slider.dispatchEvent(new Event('change'));
  const answered = () => Number(root.dataset.answered ?? 0) > before && root.dataset.state === 'ready';
  while (!answered()) await new Promise(done => setTimeout(done, 5));
  // the frame in which the pictures are drawn, and its end
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const whole = (performance.now() - began) / 1000;
  const took = part => performance.getEntriesByType('resource')
    .filter(({name}) => name.includes(part)).reduce((sum, {duration}) => sum + duration / 1000, 0);
  const preview = took('/previews'), dose = took('/volumes/');
  return {whole, preview, dose, browser: whole - preview - dose};
}"""


@contextlib.contextmanager
def opened(paths: Iterable[Path]) -> Iterator[Page]:
    """Give the page of a case before a real `serve`, with the answer to sliders that nobody moved yet."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        bench = Bench(Path(folder))
        bench.settings = {"review": {"enabled": True, "port": port}, "release": {"predicted_dose": "after_approval"}}
        bench.start()
        try:
            bench.send(*paths)
            with bench.store.transaction() as session:
                add_user(session, "m.curie", Role.PHYSICIST, Passwords().hash(PASSWORD), "setup")
            case_id = bench.wait_for("review", 900).case_id
            with chromium() as browser, page_of(browser) as page:
                origin = f"http://127.0.0.1:{port}"
                log_in(page, origin, "m.curie")
                open_viewer(page, origin, case_id, 900)
                page.wait_for_selector("#viewer[data-answered='1']", timeout=900_000)
                yield page
        finally:
            bench.stop()


def move(page: Page, name: str, value: float) -> dict[str, float]:
    """Move a slider, and give the seconds until it is shown, and their parts."""
    seconds: dict[str, float] = page.evaluate(_MOVE, [name, value])
    return seconds


def measure(case: Path, moves: int) -> list[dict[str, float]]:
    """Give the seconds of each move, and of its parts."""
    with opened(sorted(case.glob("*.dcm"))) as page:
        names = page.eval_on_selector_all("[data-wish]", "all => all.map(one => one.dataset.wish)")
        # a value that no move before had: what is answered already is shown at once
        wanted = [(names[1 + count % (len(names) - 1)], 0.8 + 0.015 * count) for count in range(moves)]
        return [move(page, *one) for one in wanted]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Seconds from a slider's move to pictures, DVHs and figures.")
    parser.add_argument("--case", type=Path, required=True)
    parser.add_argument("--moves", type=int, default=30)
    chosen = parser.parse_args()
    moves = measure(chosen.case, chosen.moves)
    seconds = sorted(move["whole"] for move in moves)
    print(f"{len(seconds)} moves, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # noqa: T201
    print(f"median {statistics.median(seconds):.2f} s")  # noqa: T201
    for part in ("preview", "dose", "browser"):
        print(f"  of it {part} {statistics.median(move[part] for move in moves):.3f} s")  # noqa: T201
    print(f"95th percentile {seconds[min(round(0.95 * len(seconds)), len(seconds) - 1)]:.2f} s")  # noqa: T201


if __name__ == "__main__":
    main()

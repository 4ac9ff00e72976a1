"""A report as PDF: the same page, laid out for paper by WeasyPrint, with its figures as vectors and its structure."""

from __future__ import annotations

import logging

from bridge.rt.errors import Failure

__all__ = ["pdf_bytes"]


def pdf_bytes(html: str) -> bytes:
    """Give a page as PDF/UA, which a screen reader can read; the same page gives the same bytes but for its date.

    Raises
    ------
    Failure
        WeasyPrint, or the library Pango that it lays out text with, is not installed (``pdf-not-installed``).
    """
    try:
        import weasyprint
    except (ImportError, OSError) as error:
        # Pango is loaded when WeasyPrint is imported, and is no package that pip brings
        raise Failure(
            "pdf-not-installed",
            "A PDF needs WeasyPrint and Pango: pip install 'fdp-bridge[report]', and on Debian "
            "apt-get install libpangoft2-1.0-0.",
        ) from error
    # it warns of every property of style sheets for screens that paper does not have
    for name in ("weasyprint", "fontTools", "fontTools.subset"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # a report has everything inside: nothing is fetched but what is written into it
    inside = weasyprint.URLFetcher(allowed_protocols=("data",))
    document = weasyprint.HTML(string=html, url_fetcher=inside).write_pdf(pdf_variant="pdf/ua-1")
    assert isinstance(document, bytes)  # noqa: S101 - it gives bytes where no target is named
    return document

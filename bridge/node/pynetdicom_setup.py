"""The one place that touches pynetdicom's process-wide settings."""

from __future__ import annotations

import logging

from pynetdicom import _config

__all__ = ["prepare_pynetdicom"]


def prepare_pynetdicom() -> None:
    """Set pynetdicom's module-level switches; safe to call again.

    - No log handlers and no identifiers, because they print what peers send, and that can be patient data.
    - Its own logger only at CRITICAL: its errors come with received text; the node reports each of them in its words.
    - Files are sent as they lie on disk, not decoded and encoded again, so that what was checked is what is sent.

    Receiving in chunks is not switched on: that mode of pynetdicom 3.0.4 writes to the system's temporary folder, has
    no limit of size, leaves the file behind on an abort, and lets the connection's thread die when the disk is full.
    :mod:`bridge.node.reception` does it instead.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.STORE_SEND_CHUNKED_DATASET = True
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

"""TLS contexts after PS3.15 B.12 (BCP 195): TLS 1.2 or later, and certificates on both sides."""

from __future__ import annotations

import ssl

from bridge.node.settings import TlsSettings

__all__ = ["client_context", "server_context"]


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Make the context for our port: who has no certificate from the authorities does not get in."""
    return _prepared(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """Make the context for connecting to a destination."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = settings.check_host_name
    return _prepared(context, settings)


def _prepared(context: ssl.SSLContext, settings: TlsSettings) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(settings.authorities)
    context.load_cert_chain(settings.certificate, settings.key)
    return context

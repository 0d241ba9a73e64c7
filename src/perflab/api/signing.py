"""Signatures: what the API hands out and wants back unchanged, such as cursors and tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

_MAC_BYTES: Final = 16


class Signer:
    """Signs for one purpose; what it signed is worth nothing for another.

    Args:
        secret: shared by all processes of one API.
        purpose: as a word.
    """

    def __init__(self, secret: str, purpose: str) -> None:
        self._key = hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)

    def sign(self, payload: bytes, context: bytes = b"") -> str:
        """The payload with its signature, in characters that a URL can carry.

        ``context`` is signed too but not carried: whoever opens it must know it.
        """
        return _spelled(self._mac(payload, context) + payload)

    def open(self, text: str, context: bytes = b"") -> bytes | None:
        """The payload; None where this signer did not sign exactly this text in this context."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload, context)):
            return None
        # base64 has spare bits: only one spelling is the one that was handed out
        return payload if _spelled(raw) == text else None

    def _mac(self, payload: bytes, context: bytes) -> bytes:
        told = len(context).to_bytes(4, "big") + context + payload
        return hmac.digest(self._key, told, hashlib.sha256)[:_MAC_BYTES]


def _spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

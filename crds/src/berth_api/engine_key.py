"""The key that a deployment's engine asks for: routers and operator make the same one, and no object tells it to them.

Both have one secret of the release, and a key is made from that and the deployment's uid. So nobody needs the right to
read Secrets, and who learns one engine's key, as the engine does, learns no other's.
"""

import base64
import hashlib
import hmac
from functools import lru_cache

_ENDING = "-key"
"""llama-server prints the last four characters of its key."""

_DIGEST_LENGTH = 10
_SHORTEST_SECRET = 32
"""Characters. A shorter one could be guessed by who knows one engine's key."""

_MOST_REMEMBERED = 4096


class EngineKeyring:
    """The keys of all engines of a release."""

    def __init__(self, secret: str) -> None:
        """Raises ValueError where the secret is too short."""
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"the secret of the engines' keys must have {_SHORTEST_SECRET} characters at least")
        self._secret = secret.encode()
        self.key = lru_cache(_MOST_REMEMBERED)(self._key)
        """The key of the engine of the deployment with this uid."""

    def secret_name(self, deployment: str, uid: str) -> str:
        """Name of the Secret that hands the key to the deployment's pods. Another key has another name."""
        digest = hashlib.sha256(self.key(uid).encode()).hexdigest()[:_DIGEST_LENGTH]
        return f"{deployment}-key-{digest}"

    def _key(self, uid: str) -> str:
        digest = hmac.digest(self._secret, f"berth.dev/engine-key/{uid}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=") + _ENDING

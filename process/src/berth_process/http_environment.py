"""What HTTP clients read from the environment: proxies, and where the certificates of authorities are."""

from collections.abc import Mapping

from berth_process.settings_error import SettingsError, shown

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

UNUSABLE = (ImportError, OSError, ValueError)
"""What making a client raises where the environment is wrong: no SOCKS here, no file, no certificate, no address."""


def client_error(error: Exception, environment: Mapping[str, str]) -> SettingsError:
    """The error for one of UNUSABLE that was raised where a client was made."""
    why = " ".join(str((isinstance(error, OSError) and error.strerror) or error).split())
    if isinstance(error, OSError):
        name = next((name for name in _CERTIFICATES if environment.get(name)), _CERTIFICATES[0])
        stated, right = f"{name} is {shown(environment.get(name, ''))}: it", "a file or a folder of certificates in PEM"
    else:
        names = [name for name in (*_PROXIES, *(name.lower() for name in _PROXIES)) if environment.get(name)]
        stated = " and ".join(f"{name} is {shown(environment[name])}" for name in names)
        stated += ": each" if len(names) > 1 else ": it"
        right = "like http://proxy.example.com:3128"
    return SettingsError(f"{stated} must be {right} ({why})")

"""Where the API server is, from the pod's service account or a kubeconfig file, and which proxy leads to it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from berth_cluster.cluster import InvalidError, UnavailableError
from berth_cluster.names import is_namespace_name
from berth_process.settings_error import SettingsError, shown

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


async def load_connection(namespace: str | None, kubeconfig: str | None) -> tuple[Configuration, str]:
    """The client's configuration, and the namespace: the one given, else the pod's own or the kubeconfig context's.

    `kubeconfig` is a file; None: the one that KUBECONFIG names, else the pod's service account where there is one.
    Raises UnavailableError where there is neither, InvalidError where the namespace cannot be one, and SettingsError
    where KUBECONFIG or a proxy's variable is wrong.
    """
    configuration = Configuration()
    # A kubeconfig comes first: a developer's shell inside a pod means the cluster that the kubeconfig names.
    named = os.environ.get("KUBECONFIG") if kubeconfig is None else None
    loaders = cast("Any", config)  # not typed
    try:
        if kubeconfig or named or not _NAMESPACE_FILE.exists():  # noqa: ASYNC240 (once, at start)
            loader = await loaders.load_kube_config(kubeconfig or named, client_configuration=configuration)
            default = loader.current_context.get("context", {}).get("namespace") or "default"
        else:
            loaders.load_incluster_config(client_configuration=configuration)
            default = _NAMESPACE_FILE.read_text().strip()  # noqa: ASYNC240
    except Exception as error:  # (for a file of another kind the loader raises anything)
        if named:
            raise SettingsError(
                f"KUBECONFIG is {shown(named)}: it must be the path of a kubeconfig file ({_why(error)})",
            ) from error
        raise UnavailableError(f"no cluster to connect to: {_why(error)}") from error
    namespace = namespace or str(default)
    if not is_namespace_name(namespace):
        raise InvalidError(
            f"no namespace can be called {namespace!r}: write lower-case letters, digits and '-', 63 at most",
        )
    # The client's session would look for proxies and for ~/.netrc before each request, in a thread. And every call to a
    # machine in .netrc would fail, because it would have two kinds of credentials.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or _proxy(str(configuration.host), getproxies())
    return configuration, namespace


def _proxy(host: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy that HTTPS_PROXY or HTTP_PROXY names, where NO_PROXY does not except the API server.

    Raises SettingsError.
    """
    server = urlsplit(host)
    proxy = proxies.get(server.scheme)
    if not proxy or proxy_bypass(server.hostname or ""):
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        variable = f"{server.scheme.upper()}_PROXY"
        raise SettingsError(
            f"{variable} is {shown(proxy)}: it must be the address of a proxy, such as http://proxy.example.com:3128",
        )
    return url


def _why(error: Exception) -> str:
    if isinstance(error, config.ConfigException | OSError):
        return " ".join(str(error).split())
    return f"{type(error).__name__}: it is no kubeconfig"

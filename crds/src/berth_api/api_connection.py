"""Where the API server is, and the way to it: from the pod's service account or a kubeconfig file, and a proxy's where one is set."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from berth_api.cluster import InvalidError, UnavailableError
from berth_api.names import is_namespace_name

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


async def load_connection(namespace: str | None, kubeconfig: str | None) -> tuple[Configuration, str]:
    """The client's configuration, and the namespace: the one given, else the pod's own or the kubeconfig context's.

    `kubeconfig` is a file; None: the one that KUBECONFIG names, else the pod's service account where there is one. Raises UnavailableError
    where there is neither, or a proxy that cannot be used, and InvalidError where the namespace cannot be one.
    """
    configuration = Configuration()
    # In-cluster only without an explicit kubeconfig: a developer's shell inside a pod means the cluster it names.
    kubeconfig = kubeconfig or os.environ.get("KUBECONFIG")
    loaders = cast("Any", config)  # not typed
    try:
        if kubeconfig or not _NAMESPACE_FILE.exists():  # noqa: ASYNC240 (once, at start)
            loader = await loaders.load_kube_config(kubeconfig, client_configuration=configuration)
            default = loader.current_context.get("context", {}).get("namespace") or "default"
        else:
            loaders.load_incluster_config(client_configuration=configuration)
            default = _NAMESPACE_FILE.read_text().strip()  # noqa: ASYNC240
    except (config.ConfigException, OSError) as error:
        raise UnavailableError(f"no cluster to connect to: {error}") from error
    except Exception as error:  # (a file of another kind ends the loader in whatever comes first)
        what = kubeconfig or "the pod's service account"
        raise UnavailableError(f"no cluster to connect to: {what} cannot be read ({type(error).__name__}): is it a kubeconfig?") from error
    namespace = namespace or str(default)
    if not is_namespace_name(namespace):
        raise InvalidError(f"no namespace can be called {namespace!r}: write lower-case letters, digits and '-', 63 at most")
    # The client's session would look for proxies and for ~/.netrc before each request, in a thread; and a machine that .netrc names would
    # end every call, since two kinds of credentials are one too many.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or _proxy(str(configuration.host), getproxies())
    return configuration, namespace


def _proxy(host: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy that HTTPS_PROXY or HTTP_PROXY names, where NO_PROXY does not except the API server. Raises UnavailableError."""
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
        raise UnavailableError(f"{server.scheme.upper()}_PROXY is no address of a proxy: write it like http://proxy.example.com:3128")
    return url

"""The Jobs of a download: one fetches the model, and one removes what a cancelled download has left.

Their pods satisfy the `restricted` pod security standard and have no API credentials. No other pods write to the store.
"""

from typing import Any

from berth_api.download_report import FINAL_EXITS
from berth_api.model_deployment import MODEL_STORE
from berth_api.model_download import ModelDownload, ModelDownloadSpec
from berth_cluster.cluster import GROUP, LABEL_DOWNLOAD, LABEL_MANAGED_BY, MODEL_DOWNLOADS, Object
from berth_operator.resources.pod import MANAGER, USER
from berth_operator.settings import DownloadSettings, OperatorSettings

CONTAINER = "download"
PORT = 8000
"""The port at which the download reports its progress, in its own pod."""

_TERMINATION_LOG = "/dev/termination-log"
_TERMINATION_GRACE_SECONDS = 10
_CLEANUP_DEADLINE_SECONDS = 600
_CLEANUP_TRIES = 3
_UID_LENGTH = 8
"""With a download's longest name, NAME_LENGTH, the Job's has 61 characters. It becomes a label, of 63 at most."""
_HOME = {"name": "HOME", "value": "/tmp"}  # noqa: S108 (nothing is written there)


def job_name(download: ModelDownload) -> str:
    """The name of the download's Job. The Job of an earlier download of the same name has another one."""
    return f"{download.name}-{download.uid[:_UID_LENGTH]}"


def cleanup_name(download: str) -> str:
    """The name of the Job that removes what the download has left."""
    return f"{download}-cleanup"


def make_download_job(download: ModelDownload, image: str, settings: OperatorSettings) -> Object:
    """The Job that downloads. It creates one pod after another until one succeeds, or no further try is worth it."""
    metadata = {
        "name": job_name(download),
        "labels": _labels(download.name),
        "annotations": {f"{GROUP}/repository": download.spec.repository},
        "ownerReferences": [
            {
                "apiVersion": MODEL_DOWNLOADS.api_version,
                "kind": MODEL_DOWNLOADS.kind,
                "name": download.name,
                "uid": download.uid,
                "controller": True,
            }
        ],
    }
    container = _container(
        _arguments(download, settings.downloads), _environment(settings.downloads), image, settings
    ) | {"ports": [{"name": "progress", "containerPort": PORT}]}
    rules = [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": list(FINAL_EXITS)},
        },
        # A drained node is no failure of the download, and does not count as a try.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
    ]
    spec = {"backoffLimit": settings.downloads.backoff_limit, "podFailurePolicy": {"rules": rules}}
    return _job(metadata, spec, container, settings)


def make_cleanup_job(download: str, image: str, settings: OperatorSettings) -> Object:
    """The Job that removes the partial files of a deleted download. It has no owner, and is deleted at its end."""
    metadata = {"name": cleanup_name(download), "labels": _labels(download)}
    container = _container(["--remove-staging", download, "--store", MODEL_STORE], [_HOME], image, settings)
    spec = {
        "backoffLimit": _CLEANUP_TRIES,
        "activeDeadlineSeconds": _CLEANUP_DEADLINE_SECONDS,
        # Its pod would keep the volume claim in use, and an uninstall would wait for it.
        "ttlSecondsAfterFinished": 0,
    }
    return _job(metadata, spec, container, settings)


def _labels(download: str) -> dict[str, str]:
    return {
        LABEL_DOWNLOAD: download,
        LABEL_MANAGED_BY: MANAGER,
        "app.kubernetes.io/name": "berth-download",
        "app.kubernetes.io/part-of": "berth",
    }


def _arguments(download: ModelDownload, settings: DownloadSettings) -> list[str]:
    spec: ModelDownloadSpec = download.spec
    arguments = [
        "--id",
        download.name,
        "--repository",
        spec.repository,
        "--revision",
        spec.revision,
        "--destination",
        download.destination,
    ]
    if spec.quantization:
        arguments += ["--quantization", spec.quantization]
    arguments += [f"--include={glob}" for glob in spec.include or []]
    arguments += [f"--exclude={glob}" for glob in spec.exclude or []]
    if settings.allow_pickle:
        arguments.append("--allow-pickle")
    return [*arguments, "--store", MODEL_STORE, "--port", str(PORT)]


def _job(
    metadata: dict[str, Any], spec: dict[str, Any], container: dict[str, Any], settings: OperatorSettings
) -> Object:
    template = {"metadata": {"labels": metadata["labels"]}, "spec": _pod_spec(container, settings)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {**spec, "template": template}}


def _pod_spec(container: dict[str, Any], settings: OperatorSettings) -> dict[str, Any]:
    downloads = settings.downloads
    optional: dict[str, Any] = {
        "nodeSelector": downloads.node_selector,
        "tolerations": [toleration.manifest() for toleration in downloads.tolerations],
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _TERMINATION_GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # Without this, each start would walk through the whole store.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": settings.model_store.claim_name}}],
        **{key: value for key, value in optional.items() if value},
    }


def _container(
    args: list[str], environment: list[dict[str, Any]], image: str, settings: OperatorSettings
) -> dict[str, Any]:
    models: dict[str, Any] = {"name": "models", "mountPath": MODEL_STORE}
    if settings.model_store.sub_path:
        models["subPath"] = settings.model_store.sub_path
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": settings.downloads.pull_policy,
        "args": args,
        "env": environment,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": _TERMINATION_LOG,
        # A process that writes no termination message leaves its last lines.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [models],
    }
    if settings.downloads.resources:
        container["resources"] = settings.downloads.resources
    return container


def _environment(downloads: DownloadSettings) -> list[dict[str, Any]]:
    """Of entries with the same name the last one counts: the administrator's own come last."""
    token = downloads.token_secret
    secret = (
        [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": token.name, "key": token.key}}}] if token else []
    )
    return [
        _HOME,
        {"name": "HF_ENDPOINT", "value": downloads.hub_endpoint},
        {"name": "BERTH_MIN_FREE_BYTES", "value": str(downloads.min_free_bytes)},
        {"name": "BERTH_TERMINATION_LOG", "value": _TERMINATION_LOG},
        *secret,
        *downloads.env,
    ]

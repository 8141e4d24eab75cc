"""ModelDownload for the API server: its columns, and the rules that patterns cannot express.

They are the rules of `berth_api.repository` in CEL: the API server refuses what the router's API would refuse.
"""

from typing import Any

from berth_api.crd.definition import ResourceDefinition, name_rule, rule
from berth_api.model_download import NAME_LENGTH, ModelDownloadSpec, ModelDownloadStatus
from berth_api.repository import FILE_SUFFIX, LOST_AND_FOUND
from berth_cluster.cluster import MODEL_DOWNLOADS

_UPWARDS = "'(^|/)[.][.](/|$)'"

_SPEC_RULES: list[dict[str, str]] = [
    {
        "rule": "self == oldSelf",
        "message": "spec is immutable: make another ModelDownload instead",
        "reason": "FieldValueForbidden",
    },
    rule(
        "repository",
        "!self.repository.contains('--') && !self.repository.contains('..')",
        "repository: no repository of the hub has -- or .. in its name",
    ),
    rule(
        "repository",
        "!self.repository.startsWith('datasets/') && !self.repository.startsWith('spaces/')",
        "repository: only repositories of models can be downloaded",
    ),
    rule("revision", "!self.revision.contains('..')", "revision: no branch, tag or commit has .. in its name"),
    rule(
        "destination",
        f"!has(self.destination) || !self.destination.endsWith('{FILE_SUFFIX}') "
        f"&& self.destination != '{LOST_AND_FOUND}' && !self.destination.startsWith('{LOST_AND_FOUND}/')",
        f"destination: a model's folder neither ends with {FILE_SUFFIX} nor lies in {LOST_AND_FOUND}",
    ),
    *(
        rule(
            name,
            f"!has(self.{name}) || self.{name}.all(glob, !glob.matches({_UPWARDS}))",
            f"{name}: a pattern names files in the repository, without ..",
        )
        for name in ("include", "exclude")
    ),
]

_COLUMNS: list[dict[str, Any]] = [
    {
        "name": "Repository",
        "type": "string",
        "jsonPath": ".spec.repository",
        "description": "The repository on the hub.",
    },
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Its state, in one word."},
    {
        "name": "Progress",
        "type": "string",
        "jsonPath": ".status.progress",
        "description": "Share of the bytes that are in the store.",
    },
    {
        "name": "Bytes",
        "type": "integer",
        "jsonPath": ".status.bytesTotal",
        "description": "Bytes of the files that are taken.",
    },
    {
        "name": "ETA",
        "type": "integer",
        "jsonPath": ".status.etaSeconds",
        "description": "Seconds that it still takes at the present speed.",
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {
        "name": "Revision",
        "type": "string",
        "jsonPath": ".spec.revision",
        "description": "The branch, tag or commit that was asked for.",
        "priority": 1,
    },
    {
        "name": "Commit",
        "type": "string",
        "jsonPath": ".status.commit",
        "description": "The commit that is downloaded.",
        "priority": 1,
    },
    {
        "name": "Message",
        "type": "string",
        "jsonPath": ".status.message",
        "description": "Why it is as it is.",
        "priority": 1,
    },
]

MODEL_DOWNLOAD = ResourceDefinition(
    kind=MODEL_DOWNLOADS,
    short_name="mdl",
    description="One model of a hub, on its way into the model store.",
    spec=ModelDownloadSpec,
    status=ModelDownloadStatus,
    columns=_COLUMNS,
    spec_rules=_SPEC_RULES,
    rules=[name_rule(NAME_LENGTH, "the names of its Jobs begin with it")],
)

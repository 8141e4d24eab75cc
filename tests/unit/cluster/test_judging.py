"""What the API server says of an object that is only to be judged."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from berth_cluster.cluster import PODS, ClusterError, ForbiddenError, InvalidError
from tests.unit.cluster.api_server import failure
from tests.unit.cluster.test_kubernetes_cluster import connected


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (403, "pods x is forbidden: exceeded quota: all, requested: pods=1, used: pods=4, limited: pods=4", None),
        (403, "pods x is forbidden: status unknown for quota: all, resources: pods", None),
        (400, 'admission webhook "w.example.com" does not support dry run', None),
        (403, 'pods x is forbidden: violates PodSecurity "restricted"', ForbiddenError),
        (400, 'strict decoding error: unknown field "spec.affinity.nodeAfinity"', InvalidError),
    ],
)
async def test_what_may_be_otherwise_in_a_moment_is_no_verdict(
    tmp_path: Path, code: int, message: str, error: type[ClusterError] | None
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return failure(code, "Forbidden" if code == 403 else "BadRequest", message)

    async with connected(tmp_path, answer) as (server, cluster):
        with pytest.raises(error, match=r"violates|unknown field") if error else nullcontext():
            await cluster.judge(PODS, {"metadata": {"name": "x"}})
        [(method, path)] = server.seen
        assert (method, URL(path).query) == ("POST", {"dryRun": "All", "fieldValidation": "Strict"})

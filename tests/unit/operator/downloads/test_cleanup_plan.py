"""What is done about the partial files of a download that was deleted."""

from datetime import timedelta

import pytest

from berth_cluster.cluster import Object
from berth_operator.downloads.plan import CleanupPlan, DeletedDownload, make_cleanup_plan
from tests.unit.operator.building import NOW
from tests.unit.operator.downloads.building import SETTINGS, actions, ended, job, running, wake_in

GONE = -6
JUST_GONE = -1


@pytest.mark.parametrize(
    ("name", "jobs", "pods", "has_staging", "gone", "expected"),
    [
        ("what succeeded has left nothing", [], [], False, GONE, CleanupPlan([], finished=True)),
        ("while its pod ends, nothing is touched", [], [running()], True, GONE, CleanupPlan([])),
        ("nor while its Job is there", [job()], [], True, GONE, CleanupPlan([])),
        (
            "a clean-up that runs is waited for",
            [job("smol-cleanup", owner=None)],
            [running()],
            True,
            GONE,
            CleanupPlan([]),
        ),
    ],
)
def test_a_deleted_download(
    name: str, jobs: list[Object], pods: list[Object], has_staging: bool, gone: float, expected: CleanupPlan
) -> None:
    assert make_cleanup_plan(remains(jobs, pods, has_staging, gone), SETTINGS, NOW) == expected


def remains(jobs: list[Object], pods: list[Object], has_staging: bool, gone: float) -> DeletedDownload:
    return DeletedDownload("smol", jobs, pods, has_staging, NOW + timedelta(seconds=gone))


def test_partial_files_are_removed_a_moment_after_the_last_pod_has_ended() -> None:
    early = make_cleanup_plan(remains([], [ended(143)], True, JUST_GONE), SETTINGS, NOW)
    assert (early.actions, wake_in(early)) == ([], 4)
    due = make_cleanup_plan(remains([], [ended(143)], True, GONE), SETTINGS, NOW)
    assert actions(due.actions) == ["create smol-cleanup"]


@pytest.mark.parametrize("condition", ["Complete", "BackoffLimitExceeded"])
def test_a_clean_up_ends_in_any_case(condition: str) -> None:
    plan = make_cleanup_plan(
        remains([job("smol-cleanup", owner=None, condition=condition)], [], True, GONE), SETTINGS, NOW
    )
    assert (actions(plan.actions), plan.finished) == (["delete smol-cleanup"], True)

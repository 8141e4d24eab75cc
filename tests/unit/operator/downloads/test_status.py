"""The words and figures in a download's status."""

from typing import Any

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_download import ModelDownloadStatus
from berth_operator.downloads.plan import ObservedDownload, job_name_taken, job_refused, make_plan
from berth_operator.downloads.reported_progress import ProgressTarget
from tests.unit.operator.building import NOW, at
from tests.unit.operator.downloads.building import (
    POD_UID,
    SETTINGS,
    actions,
    download,
    ended,
    job,
    last_word,
    pod,
    progress,
    running,
)

BEGUN: dict[str, Any] = {"jobName": "smol-aaaaaaaa", "startedAt": at(-50)}


def status_of(**observed: Any) -> ModelDownloadStatus:
    return make_plan(ObservedDownload(download(status=BEGUN), [job()], **observed), SETTINGS, NOW).status


def test_the_figures_of_a_running_download_are_told_exactly() -> None:
    status = status_of(pods=[running()], progress=progress())
    assert status.manifest() | {"conditions": None} == {
        "observedGeneration": 1,
        "phase": "Running",
        "reason": "Downloading",
        "message": "files are fetched",
        "conditions": None,
        "progress": "42%",
        "commit": "c0ffee",
        "bytesDone": 420,
        "bytesTotal": 1000,
        "bytesFetched": 500,
        "bytesPerSecond": 58,
        "etaSeconds": 10,
        "filesDone": 1,
        "filesTotal": 3,
        "jobName": "smol-aaaaaaaa",
        "startedAt": "2026-01-02T11:59:10.000Z",
    }


def test_before_the_files_are_known_no_figures_are_told() -> None:
    status = status_of(
        pods=[running()],
        progress=progress(phase="Listing", bytesDone=0, bytesTotal=0, filesDone=0, filesTotal=0, bytesFetched=0),
    )
    assert (status.reason, status.progress, status.bytes_total, status.files_total) == ("Listing", None, None, None)


def test_figures_of_the_end_are_those_of_the_last_word() -> None:
    status = status_of(pods=[ended(0, last_word("Succeeded", bytesDone=1000, filesDone=3, bytesFetched=1100))])
    assert (status.progress, status.bytes_done, status.files_done, status.bytes_fetched) == ("100%", 1000, 3, 1100)
    assert (status.bytes_per_second, status.eta_seconds, status.finished_at) == (None, None, NOW)


def test_what_was_reached_is_still_told_while_another_try_is_waited_for() -> None:
    before = {**BEGUN, "bytesDone": 420, "bytesTotal": 1000, "progress": "42%", "bytesPerSecond": 58, "etaSeconds": 10}
    observed = ObservedDownload(download(status=before), [job(failed=1)], [ended(137)])
    status = make_plan(observed, SETTINGS, NOW).status
    assert (status.progress, status.bytes_done, status.bytes_per_second, status.eta_seconds) == ("42%", 420, None, None)


def test_progress_is_asked_where_the_observed_pod_listens() -> None:
    plan = make_plan(ObservedDownload(download(), [job()], [running()]), SETTINGS, NOW)
    assert plan.progress == ProgressTarget(POD_UID, "http://10.0.0.5:8123/progress")
    six = running()
    six["status"]["podIP"] = "fd00::5"
    assert make_plan(ObservedDownload(download(), [job()], [six]), SETTINGS, NOW).progress == ProgressTarget(
        POD_UID, "http://[fd00::5]:8123/progress"
    )
    assert make_plan(ObservedDownload(download(), [job()], [pod()]), SETTINGS, NOW).progress is None


def test_conditions_do_not_change_with_every_byte() -> None:
    first, second = (
        status_of(pods=[running()], progress=progress(bytesDone=done, phase=step))
        for done, step in [(1, "Downloading"), (2, "Verifying")]
    )
    assert first.conditions == second.conditions


def test_somebody_elses_job_of_the_same_name_ends_the_download() -> None:
    plan = job_name_taken(download(), job(), NOW)
    assert actions(plan.actions) == ["status"]
    assert (plan.status.phase, plan.status.reason) == ("Failed", "JobNameTaken")
    assert "a Job smol-aaaaaaaa that is not this download's" in (plan.status.message or "")


def test_a_refused_job_is_told_and_tried_again() -> None:
    plan = job_refused(download(), "JobRefused", "exceeded quota", NOW)
    stalled = condition_of(plan.status.conditions, ConditionType.STALLED)
    assert (plan.status.phase, plan.status.reason, plan.status.message) == (
        "Pending",
        "JobRefused",
        "the Job was refused: exceeded quota",
    )
    assert stalled
    assert stalled.status == "True"

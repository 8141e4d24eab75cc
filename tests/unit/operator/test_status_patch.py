"""What is written makes the stored status the planned one, and leaves alone what is the routers'."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from berth_api.model_deployment import ModelDeploymentStatus, Phase
from berth_local.node.cluster import merged
from berth_operator.reconciling.writer import merge_patch, status_patch
from tests.unit.operator.building import at, failure, lease, loaded

LEAVES = st.integers(0, 2) | st.text("ab", max_size=2) | st.lists(st.integers(0, 1), max_size=2)
"""No null: the API server stores none."""
KEYS = st.text("abc", min_size=1, max_size=1)
OBJECTS = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6)
)


@given(OBJECTS, OBJECTS)
def test_what_is_stored_after_the_patch_is_what_was_planned(before: dict[str, Any], after: dict[str, Any]) -> None:
    patch = merge_patch(before, after)
    assert merged(before, patch) == after
    assert (patch == {}) == (before == after)


def status(**fields: Any) -> ModelDeploymentStatus:
    return ModelDeploymentStatus.model_validate(fields)


def test_a_field_inside_of_another_that_is_gone_is_taken_out() -> None:
    before, after = status(lastFailure=failure(-9, retry=1)), status(lastFailure=failure(-9))
    assert status_patch(before, after) == {"lastFailure": {"retryAt": None}}
    stored = merged(before.manifest(), status_patch(before, after))
    assert status_patch(ModelDeploymentStatus.model_validate(stored), after) == {}


def test_the_routers_entries_are_left_alone_but_for_those_that_go() -> None:
    stored = status(**loaded(10, activity={"here": lease(9), "gone": lease(-9999)}))
    planned = stored.model_copy(update={"activity": {}, "phase": Phase.SLEEPING, "pod_name": None})
    assert status_patch(stored, planned, ["gone"]) == {"phase": "Sleeping", "podName": None, "activity": {"gone": None}}
    assert status_patch(stored, stored) == {}


def test_how_a_moment_is_written_is_no_change() -> None:
    stored = status(loadedAt="2026-01-02T12:00:00Z")
    assert status_patch(stored, status(loadedAt="2026-01-02T13:00:00.000+01:00")) == {}
    assert status_patch(stored, status(loadedAt=at(1))) == {"loadedAt": "2026-01-02T12:00:01.000Z"}

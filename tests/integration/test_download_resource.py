"""The API server itself refuses a wrong ModelDownload, and says what is allowed."""

from typing import Any

import pytest

from tests.kubectl import Kubectl, KubectlError


def manifest(name: str = "smol", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDownload",
        "metadata": {"name": name},
        "spec": {"repository": "org/SmolLM2-GGUF", **spec},
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"repository": "SmolLM2"}, "spec.repository in body should match"),
        ({"repository": "https://huggingface.co/org/name"}, "spec.repository in body should match"),
        ({"repository": "org/../name"}, "spec.repository in body should match"),
        ({"repository": "org/na..me"}, "no repository of the hub has -- or .. in its name"),
        ({"repository": "org/name\n"}, "spec.repository in body should match"),
        ({"repository": "\u043erg/name"}, "spec.repository in body should match"),
        ({"repository": "datasets/name"}, "only repositories of models can be downloaded"),
        ({"repository": f"org/{'n' * 97}"}, "spec.repository in body should match"),
        ({"revision": "../main"}, "spec.revision in body should match"),
        ({"revision": "a..b"}, "no branch, tag or commit has .. in its name"),
        ({"revision": "--upload-pack=x"}, "spec.revision in body should match"),
        ({"destination": "/models/x"}, "spec.destination in body should match"),
        ({"destination": "../x"}, "spec.destination in body should match"),
        ({"destination": ".downloads"}, "spec.destination in body should match"),
        ({"destination": "a/b/c"}, "spec.destination in body should match"),
        ({"destination": "a/.berth-manifest.json"}, "spec.destination in body should match"),
        ({"destination": "model.gguf"}, "a model's folder neither ends with .gguf nor lies in lost+found"),
        ({"destination": "lost+found/a"}, "a model's folder neither ends with .gguf nor lies in lost+found"),
        ({"destination": "d" * 161}, "spec.destination in body should match"),
        ({"quantization": "Q4 K M"}, "spec.quantization in body should match"),
        ({"include": ["$(HF_TOKEN)"]}, "spec.include[0] in body should match"),
        ({"include": ["--allow-pickle"]}, "spec.include[0] in body should match"),
        ({"include": ["/etc/*"]}, "spec.include[0] in body should match"),
        ({"exclude": ["a/../b"]}, "a pattern names files in the repository, without .."),
        ({"exclude": ["*"] * 65}, "spec.exclude: Too many: 65: must have at most 64 items"),
        ({"endpoint": "http://169.254.169.254"}, 'unknown field "endpoint"'),
        ({"name": "n" * 53}, "metadata.name: at most 52 characters"),
    ],
)
def test_a_wrong_manifest_is_refused_with_what_is_allowed(namespace: Kubectl, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(KubectlError) as refusal:
        namespace.apply(manifest(**wrong))
    assert said in str(refusal.value)


def test_what_is_right_is_accepted_and_has_defaults(namespace: Kubectl) -> None:
    namespace.apply(
        manifest(
            destination="folder/SmolLM2+x=1",
            quantization="Q4_K_M",
            include=["*.gguf", "sub dir/[a-z]?.json"],
            exclude=["ü*"],
        )
    )
    namespace.apply(manifest("n" * 52))
    assert namespace.json("get", "mdl", "n" * 52)["spec"] == {"repository": "org/SmolLM2-GGUF", "revision": "main"}


@pytest.mark.parametrize(
    "after",
    [
        {"repository": "org/other"},
        {"revision": "v2"},
        {"destination": "other"},
        {"quantization": "Q8_0"},
        {"include": ["*"]},
    ],
)
def test_the_spec_cannot_change(namespace: Kubectl, after: dict[str, Any]) -> None:
    namespace.apply(manifest())
    with pytest.raises(KubectlError, match="spec is immutable: make another ModelDownload instead"):
        namespace.apply(manifest(**after))


def test_it_has_a_short_name_a_category_and_columns_that_answer_how_far_it_is(namespace: Kubectl) -> None:
    namespace.apply(manifest())
    status = '{"status": {"phase": "Running", "progress": "42%", "bytesTotal": 1000, "etaSeconds": 7}}'
    namespace.run("patch", "mdl", "smol", "--subresource=status", "--type=merge", "--patch", status)
    header, row = namespace.run("get", "mdl").splitlines()
    assert header.split() == ["NAME", "REPOSITORY", "PHASE", "PROGRESS", "BYTES", "ETA", "AGE"]
    assert row.split()[:6] == ["smol", "org/SmolLM2-GGUF", "Running", "42%", "1000", "7"]
    for category in ("all", "berth"):
        assert "modeldownload.berth.dev/smol" in namespace.run("get", category, "-o", "name")


def test_every_field_is_explained(namespace: Kubectl) -> None:
    assert "One model of a hub" in namespace.run("explain", "mdl", "--recursive=false")
    for path in ("mdl.spec", "mdl.status", "mdl.status.conditions"):
        assert "<no description>" not in namespace.run("explain", path), path

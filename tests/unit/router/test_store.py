"""The model store: what counts as a model, and what is read again."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from berth_router.errors import ServiceUnavailableError
from berth_router.store.model_store import FileType, ModelStore, StoredModel, is_absence, type_of
from tests.unit.open_files import no_more_files

LONG_AGO = time.time() - 3600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with three models, that nobody has touched for an hour."""
    write(tmp_path / "smol/model.Q4.gguf", 3_000_000)
    write(tmp_path / "org/one/model.safetensors", 1000)
    write(tmp_path / "org/one/config.json", 10)
    write(tmp_path / "alone.gguf", 500)
    settle(tmp_path)
    return tmp_path


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def settle(root: Path) -> None:
    """Makes every directory look as if it had not been touched for an hour."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (LONG_AGO, LONG_AGO))


async def paths(store: ModelStore) -> list[str]:
    return [model.path for model in await store.models()]


async def test_directories_and_gguf_files_are_models_and_so_are_those_of_an_organization(root: Path) -> None:
    write(root / ".partial/model.gguf", 1)
    write(root / "smol/.cache/model.gguf", 1)
    write(root / "notes.txt", 1)
    (root / "lost+found").mkdir()
    models = {model.path: model for model in await ModelStore(root).models()}
    assert list(models) == ["/models/alone.gguf", "/models/org/one", "/models/smol"]
    assert models["/models/org/one"].name == "org/one"
    assert {file.name: (file.size, file.type) for file in models["/models/org/one"].files} == {
        "config.json": (10, FileType.CONFIG),
        "model.safetensors": (1000, FileType.SAFETENSORS),
    }
    assert models["/models/smol"].size == 3_000_000


async def test_nothing_is_read_again_while_nothing_changes(root: Path) -> None:
    store = ModelStore(root)
    first = await store.models()
    read = store.read_models
    assert await store.models() is first
    assert store.read_models == read == 3


async def test_only_what_has_changed_is_read_again(root: Path) -> None:
    store = ModelStore(root)
    await store.models()
    write(root / "smol/extra.gguf", 7)
    write(root / "new/model.gguf", 7)
    (root / "alone.gguf").unlink()
    assert await paths(store) == ["/models/new", "/models/org/one", "/models/smol"]
    assert store.read_models == 5
    [smol] = [model for model in await store.models() if model.name == "smol"]
    assert [file.name for file in smol.files] == ["extra.gguf", "model.Q4.gguf"]


async def test_a_change_within_the_file_systems_clock_tick_is_seen(root: Path) -> None:
    """The directory's time stamp is the same as when it was read."""
    store = ModelStore(root)
    write(root / "new/model.gguf", 7)
    stamp = (root / "new").stat()
    await store.models()
    write(root / "new/more.gguf", 7)
    os.utime(root / "new", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    [new] = [model for model in await store.models() if model.name == "new"]
    assert [file.name for file in new.files] == ["model.gguf", "more.gguf"]


async def test_a_loop_of_links_ends(root: Path) -> None:
    (root / "smol/self").symlink_to(root / "smol")
    (root / "smol/nowhere").symlink_to(root / "absent")
    assert await paths(ModelStore(root)) == ["/models/alone.gguf", "/models/org/one", "/models/smol"]


async def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert await paths(ModelStore(tmp_path / "absent")) == []


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("/models/smol", {"gguf"}),
        ("/models/smol/model.Q4.gguf", {"gguf"}),
        ("/models/alone.gguf", {"gguf"}),
        ("/models/org/one", {"safetensors"}),
        ("/models/org", set[str]()),
    ],
)
async def test_a_lookup_tells_the_kinds_of_weights(root: Path, model: str, weights: set[str]) -> None:
    found = await ModelStore(root).lookup(model)
    assert (found.exists, found.weights) == (True, weights)


async def test_a_lookup_in_vain_tells_what_there_is(root: Path) -> None:
    found = await ModelStore(root).lookup(f"/models/{'x' * 300}")
    assert (found.exists, found.models) == (False, ["/models/alone.gguf", "/models/org/one", "/models/smol"])


@pytest.mark.parametrize("model", ["/models/smol", "/models/org/one", "/models/absent"])
async def test_a_store_that_cannot_be_read_is_no_models_absence(root: Path, model: str) -> None:
    store = ModelStore(root)
    await store.models()
    with no_more_files(), pytest.raises(ServiceUnavailableError) as refused:
        await store.lookup(model)
    assert (refused.value.status, refused.value.code) == (503, "store_unavailable")
    assert refused.value.headers()["retry-after"]
    assert "Too many open files" in refused.value.message
    with no_more_files(), pytest.raises(ServiceUnavailableError, match="Too many open files"):
        await store.models()
    assert (await store.lookup("/models/smol")).exists
    assert len(await store.models()) == 3


@pytest.mark.parametrize(
    "number",
    [errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.ENOMEM],
)
def test_only_what_is_not_there_is_absent(number: int) -> None:
    assert not is_absence(OSError(number, "failed"))
    assert is_absence(FileNotFoundError(errno.ENOENT, "gone"))
    assert is_absence(NotADirectoryError(errno.ENOTDIR, "inside a file"))


async def test_one_that_cannot_be_read_is_told_and_hides_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system's own failure has to be played."""
    write(root / "org/two/model.safetensors", 7)
    broken = {str(root / "org/one"), str(root / "smol")}
    scandir = os.scandir

    def failing(path: "str | os.PathLike[str]") -> object:
        if str(path) in broken:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return scandir(path)

    store = ModelStore(root)
    monkeypatch.setattr(os, "scandir", failing)
    unreadable = {model.name: model.unreadable for model in await store.models()}
    assert unreadable == {
        "alone.gguf": None,
        "org/one": "Input/output error",
        "org/two": None,
        "smol": "Input/output error",
    }
    broken.clear()
    assert [model.unreadable for model in await store.models()] == [None] * 4


async def test_a_file_that_goes_away_meanwhile_takes_nothing_with_it(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as a part of a download, just when the model is looked at."""
    write(root / "smol/extra/part.bin", 7)
    write(root / "smol/part.bin", 7)
    scandir = os.scandir

    class Entries(list["os.DirEntry[str]"]):
        def __enter__(self) -> Sequence["os.DirEntry[str]"]:
            return self

        def __exit__(self, *_: object) -> None: ...

    def and_then_gone(path: "str | os.PathLike[str]") -> Entries:
        with scandir(path) as entries:
            found = Entries(entries)
        for entry in found:
            if entry.name == "part.bin":
                Path(entry.path).unlink()
            if entry.name == "extra":
                entry.is_dir()
                (Path(entry.path) / "part.bin").unlink()
                Path(entry.path).rmdir()
        return found

    monkeypatch.setattr(os, "scandir", and_then_gone)
    found = await ModelStore(root).lookup("/models/smol")
    assert (found.exists, found.weights) == (True, {"gguf"})


async def test_links_that_lead_in_a_circle_hide_no_model(root: Path) -> None:
    (root / "smol/a").symlink_to(root / "smol/b")
    (root / "smol/b").symlink_to(root / "smol/a")
    assert await paths(ModelStore(root)) == ["/models/alone.gguf", "/models/org/one", "/models/smol"]
    assert (await ModelStore(root).lookup("/models/smol")).weights == {"gguf"}


class HeldStore(ModelStore):
    """Each reading waits, after it has looked at what there is, until the test lets it go on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.looked = threading.Semaphore(0)
        self.may_go_on = threading.Semaphore(0)

    def _refresh(self) -> tuple[StoredModel, ...]:
        found = super()._refresh()
        self.looked.release()
        assert self.may_go_on.acquire(timeout=10)
        return found


async def test_what_was_put_there_just_now_is_there_for_whoever_asks_next(root: Path) -> None:
    store = HeldStore(root)
    before = asyncio.create_task(store.models())
    await asyncio.to_thread(store.looked.acquire)
    write(root / "new/model.gguf", 7)
    after = asyncio.create_task(paths(store))
    store.may_go_on.release()
    assert len(await before) == 3
    store.may_go_on.release()
    assert "/models/new" in await after


@pytest.mark.covers("models[].files[].type")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/model-00001-of-00002.safetensors", FileType.SAFETENSORS),
        ("pytorch_model.bin", FileType.PYTORCH),
        ("tokenizer.json", FileType.TOKENIZER),
        ("config.json", FileType.CONFIG),
        ("README.md", FileType.OTHER),
    ],
)
def test_types_of_files(name: str, expected: FileType) -> None:
    assert type_of(name) is expected

"""The throughput of a download, beside the hub's own client and beside a copy of the same bytes on this disk.

    uv run python -m benchmarks.download [--quick] [--folder FOLDER]

One file of random bytes is served by the stand-in for the hub, a process of its own on loopback, and in each round

A. `berth-download` takes it into an empty model store: fetched, its SHA-256 checked, on disk, published;
B. `hf download` takes it into an empty directory, and then it is brought to disk (fsync): this checks no hash;
C. `cp` copies it, and then the copy is brought to disk (fsync).

All are timed as whole processes, from start to end, each of A and B with the second or two that Python takes to begin;
what they wrote is deleted and the disk is idle before the next begins. The order of the three changes from round to
round. The file stays in the page cache, so that reading it costs all three nearly nothing.

No download can be faster than the network or the disk: B shows what this client makes of this network, C what this disk
takes. The last line is one JSON object: ratio_vs_slower_limit is the median over the rounds of A's throughput divided
by the lower one of B's and C's.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "acme/random"
FILE = "model.safetensors"
MIB = 1 << 20
SIZE, QUICK_SIZE = 2048 * MIB, 1024 * MIB
ROUNDS, QUICK_ROUNDS = 6, 3
_PIECE = 16 * MIB
_TIMEOUT = 600


@dataclass(frozen=True, slots=True)
class DownloadRound:
    """The throughputs of one round, in bytes a second."""

    berth: float
    hf: float
    cp: float

    @property
    def ratio(self) -> float:
        """Berth's share of the lower limit."""
        return self.berth / min(self.hf, self.cp)


def table(rounds: list[DownloadRound]) -> str:
    """The table for people, in MiB a second."""
    lines = [f"{'MiB/s':28}{'p50':>9}{'min':>9}{'max':>9}"]
    columns = {
        "berth-download": [each.berth for each in rounds],
        "hf download, fsync": [each.hf for each in rounds],
        "cp, fsync": [each.cp for each in rounds],
    }
    for name, values in columns.items():
        lines.append(f"{name:28}{statistics.median(values) / MIB:9.1f}{min(values) / MIB:9.1f}{max(values) / MIB:9.1f}")
    ratios = [each.ratio for each in rounds]
    lines.append(
        f"{'Berth / slower of the others':28}{statistics.median(ratios):9.3f}{min(ratios):9.3f}{max(ratios):9.3f}"
    )
    return "\n".join(lines)


def result(rounds: list[DownloadRound]) -> str:
    """The result as one JSON object."""
    medians = {
        "berth_mib_s": statistics.median(each.berth for each in rounds) / MIB,
        "hf_mib_s": statistics.median(each.hf for each in rounds) / MIB,
        "cp_mib_s": statistics.median(each.cp for each in rounds) / MIB,
        "ratio_vs_slower_limit": statistics.median(each.ratio for each in rounds),
    }
    return json.dumps({name: round(value, 3) for name, value in medians.items()})


def measure(folder: Path, size: int, rounds: int) -> list[DownloadRound]:
    """Makes all rounds. Files are written below the folder."""
    source = folder / "source" / FILE
    source.parent.mkdir()
    _fill(source, size)
    with _hub(source.parent) as endpoint:
        environment = {
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hf-home"),
            "BERTH_MIN_FREE_BYTES": "0",
        }
        environment |= {
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "BERTH_TERMINATION_LOG": str(folder / "report"),
        }
        ways: dict[str, Callable[[Path], Path]] = {
            "berth": lambda target: _berth(target, environment),
            "hf": lambda target: _hf(target, environment),
            "cp": lambda target: _cp(source, target),
        }
        results: list[DownloadRound] = []
        for number in range(rounds):
            names = list(ways)[number % 3 :] + list(ways)[: number % 3]
            seconds = {name: _timed(ways[name], folder / name, size) for name in names}
            results.append(DownloadRound(**{name: size / seconds[name] for name in ways}))
            print(
                f"round {number + 1}: " + ", ".join(f"{name} {seconds[name]:.2f} s" for name in ways), file=sys.stderr
            )
    return results


def _timed(way: Callable[[Path], Path], target: Path, size: int) -> float:
    """Seconds until the file is below the target, and on disk."""
    target.mkdir()
    os.sync()
    started = time.monotonic()
    file = way(target)
    _to_disk(file)
    seconds = time.monotonic() - started
    assert file.stat().st_size == size, f"{file} is not whole"
    shutil.rmtree(target)
    return seconds


def _berth(target: Path, environment: dict[str, str]) -> Path:
    command = [
        "--repository",
        REPOSITORY,
        "--destination",
        "model",
        "--store",
        str(target),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    _run([str(Path(sys.executable).with_name("berth-download")), *command], environment)
    return target / "model" / FILE


def _hf(target: Path, environment: dict[str, str]) -> Path:
    _run([str(Path(sys.executable).with_name("hf")), "download", REPOSITORY, "--local-dir", str(target)], environment)
    return target / FILE


def _cp(source: Path, target: Path) -> Path:
    _run(["cp", "--reflink=never", "--sparse=never", str(source), str(target)], dict(os.environ))
    return target / source.name


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _to_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // _PIECE):
            file.write(os.urandom(_PIECE))
    _to_disk(path)


@contextmanager
def _hub(directory: Path) -> Generator[str]:
    """The address of a stand-in for the hub, which serves the directory as the repository."""
    command = [sys.executable, "-m", "tests.hub", f"{REPOSITORY}={directory}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> int:
    """Prints the table and the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_ROUNDS} rounds of {QUICK_SIZE // MIB} MiB, not {ROUNDS} of {SIZE // MIB}",
    )
    # /tmp may be in memory, and this folder never is.
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to measure")  # noqa: S108
    arguments = parser.parse_args()
    size, rounds = (QUICK_SIZE, QUICK_ROUNDS) if arguments.quick else (SIZE, ROUNDS)
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="berth-bench-") as folder:
        if shutil.disk_usage(folder).free < 3 * size:
            raise SystemExit(
                f"{arguments.folder} has no room for 3 files of {size // MIB} MiB: name another with --folder"
            )
        rounds_measured = measure(Path(folder), size, rounds)
    print(table(rounds_measured))
    print(result(rounds_measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())

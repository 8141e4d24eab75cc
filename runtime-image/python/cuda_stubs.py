"""Stands in for the CUDA libraries that torch is linked with, where there is no GPU: `cuda_stubs.py SITE_PACKAGES`.

The torch of the package index is linked with CUDA's mathematical libraries: 3 GB that a processor never runs, but that
the dynamic linker wants to see when torch is imported. For each one that is not installed this makes a small library of
its name, with the functions and symbol versions that torch asks it for. Nobody calls them: CUDA's runtime library,
which is installed as it is, finds no GPU. Who does gets SIGILL. Needs readelf and gcc.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

_NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[(lib(?:cu|nv|nccl)[^\]]+)\]")
"""A CUDA library that another one is linked with, as `readelf --dynamic` prints it."""

_UNDEFINED = re.compile(r"\sUND (?P<name>\w+)(?:@(?P<version>\S+))?")
"""A symbol that another library must have, as `readelf --dyn-syms` prints it. Its version mostly names the library."""

_DRIVER = "libcuda.so.1"
"""Belongs to the machine's driver, not to a package; torch is linked with it only where it is loaded on demand."""


class Symbol(NamedTuple):
    """A function of a CUDA library."""

    name: str
    version: str
    """Empty: none."""


def main() -> None:
    """Runs the command."""
    site_packages = Path(sys.argv[1])
    folder = site_packages / "torch/lib"
    libraries = sorted(folder.glob("*.so*"))
    installed = {file.name for file in [*libraries, *site_packages.glob("nvidia/**/*.so*")]}
    needed = {name for library in libraries for name in _NEEDED.findall(readelf("--dynamic", library))}
    symbols = {Symbol(*found) for library in libraries for found in _UNDEFINED.findall(readelf("--dyn-syms", library))}
    for name in sorted(needed - installed - {_DRIVER}):
        own = {symbol for symbol in symbols if belongs(symbol, name)}
        make_library(folder / name, own)
        print(f"{name}: a stand-in with {len(own)} functions")


def belongs(symbol: Symbol, library: str) -> bool:
    """Whether the library should have the symbol:
    by its version, or where it has none by the prefix that all of the library's have.
    """
    family = re.split(r"[._]", library)[0].removeprefix("lib").lower()  # "nvshmem" of "libnvshmem_host.so.3"
    if symbol.version and symbol.version.lower() != family:
        return symbol.version == library
    return symbol.name.lower().startswith(family)


def make_library(file: Path, symbols: set[Symbol]) -> None:
    """A shared library with these functions, each an instruction that is invalid on purpose."""
    assembly = "".join(f".globl {name}\n.type {name}, @function\n{name}: ud2\n" for name, _ in sorted(symbols))
    versions = sorted({version for _, version in symbols if version})
    names = {version: [symbol.name for symbol in sorted(symbols) if symbol.version == version] for version in versions}
    nodes = "".join(
        f"{version} {{ global: {' '.join(f'{name};' for name in names[version])} }};\n" for version in versions
    )
    with TemporaryDirectory() as build:
        source, script = Path(build) / "functions.s", Path(build) / "versions"
        source.write_text(assembly + '.section .note.GNU-stack, "", @progbits\n')
        script.write_text(nodes)
        options = [f"-Wl,--version-script={script}"] if versions else []
        command = ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{file.name}", *options, source, "-o", file]
        subprocess.run(command, check=True)  # noqa: S603


def readelf(option: str, file: Path) -> str:
    """What readelf prints of a file."""
    return subprocess.run(["readelf", "--wide", option, file], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607


if __name__ == "__main__":
    main()

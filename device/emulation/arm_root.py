"""A folder with another machine's Python: Debian's packages for its processor and real wheels, to be run by QEMU."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from speechtl.errors import SpeechtlError
from speechtl.files import cache_folder, replace_folder
from speechtl.progress import say

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
APT_SECONDS, PIP_SECONDS = 900, 1200
# The runtimes read the processor from this file and fail without it; these are a Raspberry Pi 4 and a Pi 2.
CPUINFO_ARM64 = "".join(
    f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
    "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
    for core in range(4)
)
CPUINFO_ARMHF = "".join(
    f"processor\t: {core}\nmodel name\t: ARMv7 Processor rev 5 (v7l)\nBogoMIPS\t: 38.40\n"
    "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm\nCPU implementer\t: 0x41\n"
    "CPU architecture: 7\nCPU variant\t: 0x0\nCPU part\t: 0xc07\nCPU revision\t: 5\n\n"
    for core in range(4)
)
SAME = ("onnxruntime", "ai-edge-litert", "numpy", "pillow")  # in the same versions as on the emulating machine


@dataclass(frozen=True)
class Machine:
    """A processor to emulate, and the packages of its Python."""

    name: str  # as Debian calls it
    qemu: str  # the program without -static
    cpu: str
    cpuinfo: str
    platforms: tuple[str, ...]  # of wheels
    packages: tuple[str, ...]  # of Debian
    wheels: tuple[str, ...]  # with their dependencies
    wheels_alone: tuple[str, ...]  # without: their dependencies are Debian packages

    @property
    def digest(self) -> str:
        """Hash that identifies a cached root."""
        return hashlib.sha256(json.dumps([asdict(self), python_name()]).encode()).hexdigest()[:12]


def machines(versions: Mapping[str, str]) -> dict[str, Machine]:
    """The machines; `versions` has the versions of `SAME` on this machine, which the others get as well."""
    python = python_name()
    same = tuple(f"{package}=={versions[package]}" for package in SAME if package in versions)
    return {
        "arm64": Machine(
            "arm64",
            "qemu-aarch64",
            "cortex-a72",
            CPUINFO_ARM64,
            ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
            (f"{python}-minimal", f"lib{python}-stdlib", "libstdc++6"),
            (*same, "soxr", "soundfile", "typer<0.29", "rich"),
            (),
        ),
        "armhf": Machine(
            "armhf",
            "qemu-arm",
            "cortex-a7",
            CPUINFO_ARMHF,
            ("manylinux_2_34_armv7l", "manylinux2014_armv7l", "linux_armv7l"),
            (f"{python}-minimal", f"lib{python}-stdlib", "libstdc++6", "python3-numpy", "python3-cffi-backend", "libsndfile1"),
            ("typer<0.29", "rich", "typing_extensions"),
            ("tflite-runtime==2.14.0", "soundfile"),
        ),
    }


def python_name() -> str:
    """The Python of Debian's package lists, such as `python3.11`."""
    shown = run(["apt-cache", "depends", "python3-minimal"], "apt-cache", 60).stdout
    found = re.search(r"\bpython3\.\d+\b", shown)
    if not found:
        raise SpeechtlError("Debian's package lists are missing. Fetch them with: sudo apt-get update")
    return found[0]


def open_root(machine: Machine) -> Path:
    """The machine's root folder; it is built when it is not in the cache."""
    folder = cache_folder() / "emulation" / f"{machine.name}-{machine.digest}"
    if (folder / "complete").is_file():
        return folder
    say(f"Building the {machine.name} root in {folder}; this is done once.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
        root = Path(made) / "root"
        root.mkdir()
        _unpack_packages(machine, root, Path(made))
        _unpack_wheels(machine, root, Path(made))
        (root / "proc").mkdir(exist_ok=True)
        (root / "proc/cpuinfo").write_text(machine.cpuinfo)
        (root / "complete").write_text(json.dumps(asdict(machine), indent=2))
        replace_folder(root, folder)
    return folder


def _unpack_packages(machine: Machine, root: Path, work: Path) -> None:
    """Download Debian packages with their dependencies, with an apt for an empty machine, and unpack them."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "state/status").touch()
    apt = [
        "apt-get",
        "-qq",
        *(f"-o=Dir::State={work}/state", f"-o=Dir::State::status={work}/state/status", f"-o=Dir::Cache={work}/cache"),
        *(f"-o=APT::Architecture={machine.name}", f"-o=APT::Architectures={machine.name}"),
        *("-o=Debug::NoLocking=1", f"-o=APT::Sandbox::User={os.environ.get('USER', 'root')}", "-o=Acquire::Languages=none"),
    ]
    # Package sources without this processor fail; the next step fails where Debian's are missing.
    run([*apt, "update"], "apt-get", APT_SECONDS, may_fail=True)
    run([*apt, "install", "--download-only", "--no-install-recommends", "-y", *machine.packages], "apt-get", APT_SECONDS)
    for package in sorted((work / "cache/archives").glob("*.deb")):
        run(["dpkg-deb", "-x", str(package), str(root)], "dpkg-deb", 120)
    for library in root.glob("usr/lib/*/libsndfile.so.1"):
        library.with_suffix("").symlink_to(library.name)  # soundfile asks ldconfig for it, which is not there, and then for this


def _unpack_wheels(machine: Machine, root: Path, work: Path) -> None:
    """Download wheels and unzip them next to Debian's packages."""
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--python-version", python_name().removeprefix("python")]
    fetch += [option for platform in machine.platforms for option in ("--platform", platform)]
    for wheels, more in ((machine.wheels, []), (machine.wheels_alone, ["--no-deps"])):
        if wheels:
            run([*fetch, *more, "-d", str(work / "wheels"), *wheels], "pip", PIP_SECONDS)
    packages = root / "usr/lib/python3/dist-packages"
    packages.mkdir(parents=True, exist_ok=True)
    for wheel in sorted((work / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)


def command(machine: Machine, root: Path, arguments: Sequence[str], plugin: str | None = None) -> list[str]:
    """The command that runs the machine's Python; `plugin` is the value of QEMU's option -plugin."""
    python = next(root.glob("usr/bin/python3.*[0-9]"))
    qemu = [f"{machine.qemu}-static"] if plugin is None else [machine.qemu, "-plugin", plugin]
    settings = {
        "PYTHONPATH": f"{CHECKOUT}:{root}/usr/lib/python3/dist-packages",
        # Debian chooses among libraries for linear algebra when it configures a package, which unpacking does not.
        "LD_LIBRARY_PATH": ":".join(str(folder) for name in ("blas", "lapack") for folder in root.glob(f"usr/lib/*/{name}")),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    given = [option for name, value in settings.items() for option in ("-E", f"{name}={value}")]
    return [*qemu, "-cpu", machine.cpu, "-L", str(root), *given, str(python), *arguments]


def run(arguments: Sequence[str], program: str, seconds: float, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a program; raise `SpeechtlError` with its last line when it is missing, fails, or takes too long."""
    if shutil.which(arguments[0]) is None:
        package = {"qemu-aarch64": "qemu-user", "qemu-arm": "qemu-user", "cc": "gcc"}.get(program, program)
        package = "qemu-user-static" if program.endswith("-static") else package
        raise SpeechtlError(f"{program} is not installed; it is needed here. Install it with: sudo apt-get install {package}")
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise SpeechtlError(f"{program} did not end within {seconds:.0f} s: {' '.join(arguments)}") from error
    if done.returncode and not may_fail:
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise SpeechtlError(f"{program} failed with exit code {done.returncode}: {last}")
    return done

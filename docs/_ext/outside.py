"""Links from a page to files outside ``docs/``: to the page that includes the file, or as a download."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

# Files that have a page of their own on the site.
PAGES = {
    "README.md": "index.md",
    "docs/README.md": "index.md",
    "CONTRIBUTING.md": "contributing/start.md",
    "CHANGELOG.md": "changelog.md",
    "examples": "gallery.md",
    "examples/README.md": "gallery.md",
}
LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def resolved(page: PurePosixPath, link: str) -> PurePosixPath:
    """Where a link of a page leads, from the root of the repository."""
    parts: list[str] = []
    for part in (page.parent / link).parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return PurePosixPath(*parts)


def relative(page: PurePosixPath, target: str) -> str:
    return "../" * (len(page.parts) - 2) + target


def rewritten(text: str, page: PurePosixPath, written_at: PurePosixPath | None = None) -> str:
    """The page with links to files that have a page on the site leading there; other Markdown is named."""
    written_at = written_at or page

    def link(match: re.Match[str]) -> str:
        target = resolved(written_at, match[1])
        if str(target) in PAGES:
            return f"]({relative(page, PAGES[str(target)])})"
        if target.parts[:1] != ("docs",) and target.suffix == ".md":
            return f"]({relative(page, 'sources.md')})"
        if written_at is not page and target.parts[:1] == ("docs",):
            return f"]({relative(page, str(target.relative_to('docs')))}{match[2] or ''})"
        return match[0]

    return LINK.sub(link, text)


def on_read(app: Any, name: str, content: list[str]) -> None:
    path = PurePosixPath(app.env.doc2path(name, base=False))
    content[0] = rewritten(content[0], "docs" / path)


def on_include(app: Any, relative: Any, name: str, content: list[str]) -> None:
    """An included file's links are from where that file is, and are to lead on from the page."""
    page = "docs" / PurePosixPath(app.env.doc2path(app.env.docname, base=False))
    content[0] = rewritten(content[0], page, PurePosixPath(app.srcdir.name) / relative)


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", on_read)
    app.connect("include-read", on_include)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

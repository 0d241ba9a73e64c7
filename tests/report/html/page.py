"""A page as a plain parser sees it: its structure, its words and what it would load."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "rect", "line", "circle", "link", "input", "col"}
_LOADS = {"src", "srcset", "data", "poster", "action", "background", "xlink:href"}


class Page(HTMLParser):
    """Collects what tests ask about; ``faults`` are tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._words: list[str] = []
        self._styles: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        (self._styles if "style" in self._open[-1:] else self._words).append(data)

    @property
    def text(self) -> str:
        """What a reader reads, white space folded."""
        return " ".join(" ".join(self._words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such tag."""
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        """Every id."""
        return [str(attrs["id"]) for _, attrs in self.tags if "id" in attrs]

    @property
    def loads(self) -> list[str]:
        """Everything that a browser would fetch or run from outside the page."""
        found = []
        for tag, attrs in self.tags:
            for name, value in attrs.items():
                text = (value or "").strip()
                if name in _LOADS and not text.startswith("data:"):
                    found.append(f"{tag} {name}={text}")
                if name == "href" and (tag != "a" or re.match(r"[a-z]+:|//", text)):
                    found.append(f"{tag} href={text}")
                if name.startswith("on"):
                    found.append(f"{tag} {name}")
            found += [f"<{tag}>"] if tag in ("script", "iframe", "object", "embed") else []
        sheets = [*self._styles, *(str(a.get("style", "")) for _, a in self.tags)]
        for sheet in sheets:
            found += re.findall(r"@import|url\(\s*['\"]?(?!data:)[^)]*\)", sheet)
        return found


def faults_of(page: Page) -> list[str]:
    """What is wrong with a page's structure for a browser or a screen reader."""
    return [
        *page.faults,
        *([] if len(page.all("h1")) == 1 else [f"{len(page.all('h1'))} h1"]),
        *(f"th without scope: {th}" for th in page.all("th") if th.get("scope") is None),
        *("img without alt" for img in page.all("img") if not img.get("alt")),
        *(f"id {i} twice" for i in page.ids if page.ids.count(i) > 1),
        *([] if page.all("html")[0].get("lang") else ["no language"]),
        *(
            f"link to nowhere: {a['href']}"
            for a in page.all("a")
            if str(a.get("href")).startswith("#") and str(a["href"])[1:] not in page.ids
        ),
    ]

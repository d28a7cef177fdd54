"""A page read back: what a test asks about one."""

import re
from html.parser import HTMLParser

from experiments.report.kit import _environment

VOID = {"meta", "img", "br", "hr", "link", "input", "area", "base", "col", "source"}
HOSTILE = ("<script>alert(1)</script>", "\"'><img src=//evil.example onerror=x>", "$a_b^c$&amp;|")


class Page(HTMLParser):
    """Text and elements of a page; fails where tags don't nest."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.rows: list[list[str]] = []  # of all tables
        self.text = ""
        self.lines = ""  # the same with each piece on a line of its own
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            data = data.replace("\N{NO-BREAK SPACE}", " ")
            self.text += data
            self.lines += data + "\n"
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data

    def all(self, tag: str, kind: str | None = None) -> list[dict]:
        """Attributes of the elements of a tag, or of those of a CSS class."""
        found = [attributes for name, attributes in self.elements if name == tag]
        return [a for a in found if kind is None or kind in a.get("class", "").split()]


def part(template: str, macro: str, *values, **options) -> str:
    """What a macro of a template draws, on its own."""
    module = _environment().get_template(template).module
    return str(getattr(module, macro)(*values, **options))


def check_page(html: str) -> Page:
    """The page, which loads nothing, has unique ids, links that lead somewhere, one script."""
    page = Page(html)
    own = html.replace("//evil.example", "")
    assert re.findall(r"https?:|//[a-z]+\.|@import|url\((?!#)", own) == []
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "srcset", "poster", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:")), attributes
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)
    assert [a for a in page.all("svg") if not (a.get("aria-label") or "aria-hidden" in a)] == []
    assert len(page.all("script")) == 1
    return page

"""A strict reader of reports."""

from dataclasses import dataclass
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "wbr", "base", "source", "area"})
PHRASING_ONLY = frozenset({"p", "summary", "h1", "h2", "h3", "span", "a", "title", "caption"})
BLOCKS = frozenset(
    {"p", "div", "section", "table", "details", "ul", "ol", "dl", "figure", "h1", "h2", "h3", "nav"}
    | {"header", "footer", "main"}
)
ALLOWED = frozenset(
    {"html", "head", "meta", "title", "style", "body", "header", "footer", "main", "section", "nav"}
    | {"h1", "h2", "h3", "p", "b", "bdi", "a", "ul", "ol", "li", "div", "span", "figure"}
    | {"figcaption", "table", "caption", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"}
    | {"details", "summary", "svg", "desc", "text", "tspan", "g", "line", "rect", "circle"}
    | {"path", "polygon", "polyline"}
)


@dataclass(frozen=True)
class Tag:
    name: str
    attributes: dict[str, str | None]


class Page(HTMLParser):
    """A parsed report; refuses markup that is not well nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.tags: list[Tag] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split()).replace("\u202f", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        if tag in BLOCKS:
            assert not PHRASING_ONLY & set(self._open), (tag, self._open)
        self.tags.append(Tag(tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, (tag, self._open, self.getpos())

        if tag in {"td", "th", "dt", "dd", "li", "summary", "p"}:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"style", "title", "desc"}:
            self.words.append(data)


def check_is_inert(page: Page) -> None:
    """No script, no handler, no load, no link to elsewhere; ids are unique and links resolve."""
    ids = [tag.attributes["id"] for tag in page.tags if "id" in tag.attributes]
    assert len(ids) == len(set(ids))
    for tag in page.tags:
        assert tag.name in ALLOWED, tag
        for name, value in tag.attributes.items():
            assert not name.startswith("on"), tag
            assert name not in {"src", "srcset", "style", "action", "xlink:href", "data"}, tag
            if name == "href":
                assert value is not None and value.startswith("#") and value[1:] in ids, tag
            if name == "aria-labelledby":
                assert value is not None and set(value.split()) <= set(ids), tag
    policies = [
        tag.attributes["content"]
        for tag in page.tags
        if tag.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ]
    assert page.html.count("<style") == 1
    assert "url(" not in page.html and "@import" not in page.html
    assert "nan" not in {
        value for tag in page.tags for value in tag.attributes.values() if value is not None
    }

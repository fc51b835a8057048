"""A parser of HTML reports for tests."""

import json
from html.parser import HTMLParser

_VOID = {"meta", "img"}


class HtmlPage(HTMLParser):
    """The elements of a page, (tag, attributes), and its texts; an assertion fails if tags do not match."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.texts, self._scripts, self._open = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "script" in self._open:
            self._scripts.append(data)
        elif "style" not in self._open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    @property
    def images(self):
        return {attributes["alt"]: attributes["src"] for attributes in self.attributes("img")}

    @property
    def charts(self):
        """The JSON scripts; scripts without a type are code."""
        types = [attributes.get("type") for attributes in self.attributes("script")]
        return [json.loads(script) for script_type, script in zip(types, self._scripts, strict=True) if script_type]

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

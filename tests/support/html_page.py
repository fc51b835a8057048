"""A parser of HTML reports for tests."""

import json
from html.parser import HTMLParser

_VOID = {"meta", "img", "input"}
_CODE = (("<style>", "</style>"), ("<script>", "</script>"))


class HtmlPage(HTMLParser):
    """The elements of a page, (tag, attributes), and its texts; an assertion fails if tags do not match."""

    def __init__(self, path):
        super().__init__()
        self._path = path
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
    def data(self):
        """The data of the charts: the script of type application/json; scripts without a type are code."""
        types = [attributes.get("type") for attributes in self.attributes("script")]
        (data,) = [json.loads(text) for script_type, text in zip(types, self._scripts, strict=True) if script_type]
        return data

    @property
    def code(self):
        """The content of the style and of the script, as the browser hashes it."""
        text = self._path.read_text(encoding="utf-8")
        return [text.partition(start)[2].partition(end)[0] for start, end in _CODE]

    def curves(self, quantity="I(X;T) in nats", *, kind="information", run=0):
        """The curves of a quantity of a run by the name of the layer, each with its epochs as ``epochs``."""
        names = [layer["full"] for layer in self.data["splits" if kind == "training" else "layers"]]
        content = self.data[kind][run]
        curves = content["curves"][quantity].items()
        return {names[int(index)]: {"epochs": content["epochs"], **curve} for index, curve in curves}

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

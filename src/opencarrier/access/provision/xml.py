"""XML is built of nodes, never of text put together: a name cannot become markup."""

from __future__ import annotations

from xml.etree import ElementTree as Tree

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'


def node(tag: str, *children: Tree.Element | str, **attributes: str) -> Tree.Element:
    """Make an element of text and of other elements; `xmlns` is an attribute like any other."""
    made = Tree.Element(tag, attributes)
    for child in children:
        if isinstance(child, str):
            made.text = (made.text or "") + child
        else:
            made.append(child)
    return made


def document(root: Tree.Element) -> bytes:
    """Return a document in UTF-8 with its declaration."""
    octets: bytes = Tree.tostring(root, encoding="utf-8")
    return DECLARATION + octets

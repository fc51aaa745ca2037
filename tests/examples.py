# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples that a reader may copy: YAML and commands of the documents, and EXAMPLES of modules and filters."""

from __future__ import annotations

import ast
import re
import typing as t

import yaml

from project import ROOT, files

INLINE = ("ansible", "ansible-doc", "ansible-playbook", "ansible-vault", "base64", "certutil", "openssl")
"""What a command within a sentence begins with; others are words of programs, or named in passing."""
PROGRAMS = ("ansible", "ansible-galaxy", "ansible-playbook", "certutil", "ipsec", "make", "openssl")
"""What a block of commands begins with; other blocks are drawings, and texts of other programs."""
FOR_CONTRIBUTORS = ("CONTRIBUTING.md", "tests/")
"""Documents whose commands are for those who change the collection."""


class Example(t.NamedTuple):
    """A piece of YAML."""

    place: str
    """File and line."""
    name: str
    """File and what it begins with, which stays when lines move; the second that begins so has a number."""
    content: t.Any


def fences(path: str) -> t.Iterator[tuple[int, str, str]]:
    """The line, the language and the text of each fenced block of a document."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield text[: match.start()].count("\n") + 2, match[1], match[2]


def fenced() -> t.Iterator[Example]:
    """The examples in the documents."""
    for path in files():
        if path.endswith(".md"):
            names: list[str] = []
            for line, language, text in fences(path):
                if language == "yaml":
                    content = yaml.safe_load(text)
                    names.append(f"{path}: {_title(content)}")
                    again = f" ({names.count(names[-1])})" if names[-1] in names[:-1] else ""
                    yield Example(f"{path}:{line}", names[-1] + again, content)


def _title(content: t.Any) -> str:
    if isinstance(content, dict):
        return ", ".join(content)
    first = content[0]
    return str(first["name"] if "name" in first else f"hosts: {first['hosts']}")


def documented() -> t.Iterator[Example]:
    """The examples of modules and filters."""
    for path in files():
        if not re.match(r"plugins/(modules|filter)/\w+\.(py|yml)$", path):
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.endswith(".yml"):
            examples = yaml.safe_load(text).get("EXAMPLES")
        else:
            values = {
                node.targets[0].id: node.value
                for node in ast.parse(text).body
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            }
            examples = ast.literal_eval(values["EXAMPLES"]) if "EXAMPLES" in values else None
        if examples is not None:
            yield Example(path, path, yaml.safe_load(examples))


def commands() -> list[str]:
    """The lines of the documents' blocks of commands, and those in their sentences; each once, in their order."""
    found: list[str] = []
    for path in files():
        if path.endswith(".md") and not path.startswith(FOR_CONTRIBUTORS):
            for _line, language, text in fences(path):
                if not language and text.split(maxsplit=1)[0] in PROGRAMS:
                    found += text.splitlines()
            found += (span for span in spans(path) if " " in span and span.split()[0] in INLINE)
    return list(dict.fromkeys(found))


def spans(path: str) -> list[str]:
    """What stands between backquotes in a document's sentences."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / path).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


def for_contributors() -> list[str]:
    """The lines of the blocks of commands for those who change the collection, without remarks, and `make` inline."""
    found: list[str] = []
    for path in files():
        if path.endswith(".md") and path.startswith(FOR_CONTRIBUTORS):
            for _line, language, text in fences(path):
                lines = [re.sub(r"\s+# .*", "", line) for line in text.splitlines()]
                if not language and re.match(r"(make|export|python3|\.venv/|[A-Z_]+=)", lines[0]):
                    found += lines
            found += (span for span in spans(path) if span.startswith("make "))
    return found


EXAMPLES = (*fenced(), *documented())

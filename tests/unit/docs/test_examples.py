# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example in the documents and in EXAMPLES: its tasks fit the modules, its variables fit the role."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import itertools
import re
import shlex
import typing as t

import pytest
import yaml
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.doc import DocCLI
from ansible.cli.galaxy import GalaxyCLI
from ansible.cli.playbook import PlaybookCLI
from ansible.cli.vault import VaultCLI
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.splitter import parse_kv
from ansible.playbook.play import Play
from ansible.playbook.task import Task

from ansible_collections.xswan.ipsec.plugins.plugin_utils._variables import configuration
from examples import EXAMPLES, Example, commands, for_contributors
from lab import __main__ as lab
from project import ROOT, files

Spec = dict[str, t.Any]
COLLECTION = "xswan.ipsec."
ROLE: Spec = yaml.safe_load((ROOT / "roles/ipsec/meta/argument_specs.yml").read_text(encoding="utf-8"))
VARIABLES: Spec = ROLE["argument_specs"]["main"]["options"]
WORDS_OF_PLAY = set(Play.fattributes) | {"hosts"}
WORDS_OF_TASK = set(Task.fattributes) | {"block", "rescue", "always"}


def spec_of(module: str) -> Spec:
    """What a module of ours gives to Module: argument_spec and the rules between arguments."""
    caught: Spec = {}

    def catch(**spec: t.Any) -> t.NoReturn:
        caught.update(spec)
        # as the real one does when it has nothing to go on with
        raise SystemExit

    source = importlib.import_module(f"ansible_collections.{COLLECTION}plugins.modules.{module}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "Module", catch)
        with pytest.raises(SystemExit):
            source.main()
    return caught


def concrete(value: t.Any, spec: Spec) -> t.Any:
    """The value, and for a template one that its type allows; what it will be nobody knows yet."""
    kind = spec.get("type", "str")
    if isinstance(value, str) and "{{" in value:
        stand_in = {"bool": True, "int": 1, "list": [], "dict": {}}
        return spec["choices"][0] if "choices" in spec else stand_in.get(kind, value)
    if isinstance(value, dict) and "options" in spec:
        return {key: concrete(each, spec["options"].get(key, {})) for key, each in value.items()}
    if isinstance(value, list) and kind == "list":
        inner = {**spec, "type": spec.get("elements", "str")}
        return [concrete(each, inner) for each in value]
    return value


def mistakes(arguments: t.Mapping[str, t.Any], options: Spec, **rules: t.Any) -> list[str]:
    """What Ansible would say of these arguments."""
    given = {key: concrete(value, options.get(key, {})) for key, value in arguments.items()}
    found: list[str] = ArgumentSpecValidator(options, **rules).validate(given).error_messages
    return found


def of_task(task: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What is wrong with a task."""
    for word in ("block", "rescue", "always"):
        for each in task.get(word, ()):
            yield from of_task(each)
    actions = [key for key in task if key not in WORDS_OF_TASK and not key.startswith("with_")]
    if "block" in task:
        assert not actions
        return
    (action,) = actions
    if not action.startswith(COLLECTION):
        yield from of_builtin(action, task[action])
        return
    if (
        importlib.util.find_spec(f"ansible_collections.{COLLECTION}plugins.modules.{action.removeprefix(COLLECTION)}")
        is None
    ):
        yield f"No module named {action}"
        return
    given = spec_of(action.removeprefix(COLLECTION))
    rules = {key: given[key] for key in ("mutually_exclusive", "required_one_of") if key in given}
    yield from mistakes(task[action] or {}, given["argument_spec"], **rules)


def of_builtin(action: str, arguments: t.Any) -> t.Iterator[str]:
    """What is wrong with a task whose module comes with Ansible. It has to be named in full."""
    match = re.match(r"ansible\.builtin\.(\w+)$", action)
    if not match:
        yield f"{action} is not named in full"
    elif importlib.util.find_spec(f"ansible.modules.{match[1]}") is None:
        yield f"{action} does not exist"
    elif isinstance(arguments, dict) and match[1] != "set_fact":
        documentation = yaml.safe_load(importlib.import_module(f"ansible.modules.{match[1]}").DOCUMENTATION)
        known = {name for key, option in documentation["options"].items() for name in (key, *option.get("aliases", ()))}
        # those of files are documented in a fragment
        yield from (f"{action} has no {key}" for key in set(arguments) - known - {"mode", "owner", "group"})


def of_variables(variables: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What is wrong with the role's variables among these."""
    ours = {key: value for key, value in variables.items() if key.startswith("ipsec_")}
    yield from mistakes(ours, VARIABLES)
    # and what the role itself would say before it touches a gateway; of a topology only an inventory can tell
    plain = {"ipsec_config_setup", "ipsec_connection_defaults", "ipsec_connections", "ipsec_secrets"}
    given = {key: concrete(value, VARIABLES[key]) for key, value in ours.items() if key in plain}
    for secret in given.get("ipsec_secrets") or ():
        secret.update((key, "x" * 20) for key in ("psk", "xauth", "ppk", "passphrase", "pin") if key in secret)
    yield from configuration({"ipsec_topology": [], **given}, "gw1", {}, lambda host: None)["mistakes"]


def of_play(play: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What is wrong with a play."""
    yield from (f"a play has no {word}" for word in set(play) - WORDS_OF_PLAY)
    for section in ("pre_tasks", "tasks", "post_tasks", "handlers"):
        for task in play.get(section, ()):
            yield from of_task(task)
    for role in play.get("roles", ()):
        name = role if isinstance(role, str) else role["role"]
        if name != f"{COLLECTION}ipsec":
            yield f"there is no role {name}"
        if isinstance(role, dict):
            yield from of_variables({key: value for key, value in role.items() if key != "role"})
    yield from of_variables(play.get("vars", {}))


def of_inventory(node: t.Any) -> t.Iterator[str]:
    """What is wrong with the role's variables anywhere in an inventory, or in a file of variables."""
    if not isinstance(node, dict):
        return
    yield from of_variables(node)
    for key, value in node.items():
        if not key.startswith("ipsec_"):
            yield from of_inventory(value)


def of_example(content: t.Any) -> list[str]:
    """What is wrong with an example, whatever it is one of."""
    if isinstance(content, dict):
        return list(of_inventory(content))
    assert isinstance(content, list), "neither tasks, nor plays, nor variables"
    plays = [each for each in content if "hosts" in each]
    tasks = [each for each in content if "hosts" not in each]
    return [*(m for play in plays for m in of_play(play)), *(m for task in tasks for m in of_task(task))]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.place)
def test_example(example: Example) -> None:
    assert of_example(example.content) == []


def test_every_module_and_filter_has_one() -> None:
    places = {example.place for example in EXAMPLES}
    wanted = {path for path in files() if re.match(r"plugins/modules/\w+\.py$", path)}
    assert wanted <= places
    assert len(places) > 30
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES), "the name of an example is its alone"


def test_commands_are_found() -> None:
    assert "ansible gateways -m xswan.ipsec.ipsec_status" in commands()
    assert "make test" in commands()
    # in a sentence
    assert "certutil -L -d sql:/var/lib/ipsec/nss" in commands()
    assert "python3 dev/ansible_test.py dev sanity --test pylint" in for_contributors()


CLIS = {
    "ansible": AdHocCLI,
    "ansible-doc": DocCLI,
    "ansible-galaxy": GalaxyCLI,
    "ansible-playbook": PlaybookCLI,
    "ansible-vault": VaultCLI,
}


def of_command(line: str) -> t.Iterator[str]:
    """What is wrong with a line of commands: options of Ansible's programs, targets and files that there are not."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for separator, group in itertools.groupby(lexer, lambda word: word in ("|", "&&", ";")):
        words = [] if separator else list(group)
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        if words and words[0] in CLIS:
            yield from of_ansible(words)
        elif words and words[0] == "make":
            yield from (f"no target {word}" for word in words[1:] if "=" not in word and word not in TARGETS)
        elif words:
            programs = words[:1] if words[0].startswith(".venv/") else []
            paths = [word.partition("::")[0] for word in words if re.match(r"(demo|dev|docs|tests)/", word)]
            yield from (f"there is no {path}" for path in (*programs, *paths) if not (ROOT / path).exists())
            if "-m" in words and words[words.index("-m") + 1] == "lab":
                yield from refused(lab.parser().parse_args, words[words.index("lab") + 1 :])


TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def of_ansible(words: list[str]) -> t.Iterator[str]:
    """What the program itself would say of its options, and a module of ours of its arguments."""
    cli = CLIS[words[0]](words)
    cli.init_parser()
    yield from refused(cli.parser.parse_args, words[1:])
    if words[0] == "ansible" and "-m" in words:
        given = words[words.index("-a") + 1] if "-a" in words else ""
        yield from of_task({words[words.index("-m") + 1]: parse_kv(given)})


def refused(parse: t.Callable[[list[str]], object], words: list[str]) -> t.Iterator[str]:
    """What argparse says of these words, if it does not take them."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parse(words)
    except SystemExit:
        yield said.getvalue()


@pytest.mark.parametrize("line", [*commands(), *dict.fromkeys(for_contributors())])
def test_command(line: str) -> None:
    assert list(of_command(line)) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ansible all -m xswan.ipsec.ipsec_setup -a state=begun", "must be one of"),
        ("ansible all -m xswan.ipsec.ipsec_stat", "No module named"),
        ("openssl rand 9 | ansible-vault encrypt_strings", "invalid choice"),
        ("ansible-playbook --forks many site.yml", "--forks: invalid"),
        ("ansible-playbook --forks 25", "required"),
        ("make everything", "no target everything"),
        ("X=1 .venv/dev/bin/pytest tests/none.py -k a && .venv/dev/bin/none", "no tests/none.py"),
        ("X=1 .venv/dev/bin/pytest -k a && .venv/dev/bin/none", "no .venv/dev/bin/none"),
        (".venv/dev/bin/python -m lab upp demo/lab.yml", "invalid choice"),
    ],
)
def test_a_wrong_command_is_found(line: str, said: str) -> None:
    assert any(said in mistake for mistake in of_command(line)), list(of_command(line))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"name": "a", "xswan.ipsec.ipsec_setup": {"state": "begun"}}], "must be one of"),
        ([{"name": "a", "xswan.ipsec.ipsec_setup": {"stat": "started"}}], "stat"),
        ([{"name": "a", "xswan.ipsec.ipsec_setup": {}}], "one of the following is required"),
        ([{"name": "a", "debug": {"msg": "x"}}], "not named in full"),
        ([{"name": "a", "ansible.builtin.debugg": {"msg": "x"}}], "does not exist"),
        ([{"name": "a", "ansible.builtin.debug": {"message": "x"}}], "has no message"),
        ([{"hosts": "all", "task": []}], "no task"),
        ([{"hosts": "all", "roles": [{"role": "xswan.ipsec.ipsec", "ipsec_wai": "none"}]}], "ipsec_wai"),
        ({"gw": {"hosts": {"a": {"ipsec_gateway": {"adress": "192.0.2.1"}}}}}, "adress"),
        ({"ipsec_secrets": [{"ids": ["@a"], "pskk": "x"}]}, "pskk"),
        ({"ipsec_connections": [{"left": "192.0.2.1"}]}, "name"),
    ],
)
def test_a_mistake_is_found(content: t.Any, said: str) -> None:
    assert any(said in mistake for mistake in of_example(content)), of_example(content)

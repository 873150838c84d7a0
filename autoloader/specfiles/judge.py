"""A document held against its model: the model, or everything that is wrong, in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import ValidationError

from autoloader.spec import KEYS, NOT_AVAILABLE_YET, CsvOptions, IngestionSpec, Model
from autoloader.spec.keys import pattern_of
from autoloader.specfiles.documents import Document, Path
from autoloader.specfiles.problems import Problem

M = TypeVar("M", bound=Model)

_EXAMPLES: Final = {
    "name": "Add a line like `name: aws_billing`.",
    "source": 'Add `source: {path: "s3://bucket/folder/"}`.',
    "source.path": 'Add a line like `path: "s3://bucket/folder/"` under `source`.',
    "destination": "Add `destination: {table: namespace.name}`.",
    "destination.table": "Add a line like `table: finops.billing` under `destination`.",
    "schema.columns": "Write it as a list: [{name: id, type: long}, {name: day, type: date}].",
    "refresh.request": "Give the request a name, like `request: 2026-06 types fixed`; it is done once.",
}
_ELSEWHERE: Final = (*(key.path for key in KEYS), *(f"source.options.{key}" for key in sorted(CsvOptions.keys())))


def judge(model: type[M], document: Document, problems: list[Problem]) -> M | None:
    """Validate a document.

    Args:
        model: What the document should be.
        document: Its data and places.
        problems: Is appended to. Values that are already reported are not reported again.

    Returns:
        The model; None where the document has any problem.
    """
    if document.is_broken(()):
        return None
    if not isinstance(document.data, dict):
        fix = "Write `key: value` lines, like `name: aws_billing`."
        problems.append(Problem(document.mark, "The document is not a mapping of keys.", fix=fix))
        return None
    before = len(problems)
    if model is IngestionSpec:
        problems += _unavailable(document)
    try:
        judged = model.model_validate(document.data)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False):
            problem = _problem(model, document, details)
            if problem is not None:
                problems.append(problem)
        return None
    return None if document.broken or len(problems) > before else judged


def path_text(path: Path) -> str:
    """`schema.columns[0].type`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def shown(text: str) -> str:
    """A value of a file for a message: one line, no control characters, no credentials, not long."""
    text = re.sub(r"//[^/@\s]*@", "//…@", text)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= 80 else f"{text[:79]}…"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _problem(model: type[Model], document: Document, details: Mapping[str, Any]) -> Problem | None:
    path: Path = tuple(details["loc"])
    context: Mapping[str, Any] = details.get("ctx", {})
    kind = details["type"]
    if path and path[-1] == "[key]":
        path = path[:-1]
    if document.is_broken(path):
        return None
    if kind == "extra_forbidden":
        return _unknown_key(model, document, path)
    if kind == "missing":
        return _missing(document, path)
    if kind == "spec":
        if _rests_on_broken(document, path, context):
            return None
        path = (*path[: len(path) - context["up"]], *context["at"])
        what, fix = context["what"], context["fix"]
    else:
        what, fix = _words(kind, document, path, context, details["msg"])
    while path and path not in document.marks:
        path = path[:-1]
    written = document.written.get(path)
    why = f"It says `{shown(written)}`." if written is not None and kind != "literal_error" else ""
    return Problem(document.place(path), f"`{path_text(path)}` {what}.", why, fix)


def _rests_on_broken(document: Document, path: Path, context: Mapping[str, Any]) -> bool:
    """Whether a check compares values of which one is reported already."""
    parent = path[:-1]
    return context["compares"] and any(broken[: len(parent)] == parent for broken in document.broken)


def _words(kind: str, document: Document, path: Path, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    written = document.written.get(path, "")
    match kind:
        case "literal_error":
            choices = re.findall(r"'([^']*)'", str(context["expected"]))
            meant = nearest(written, choices)
            fix = f"Did you mean `{meant}`?" if meant else ""
            return f"is `{shown(written)}`, but must be one of {', '.join(choices)}", fix
        case "string_type":
            return "must be text", "Put it in quotes." if path in document.written else "Write one text."
        case "tuple_type" | "list_type":
            example = _EXAMPLES.get(path_text(path), f"Write it as a list: [{shown(written) if written else 'a, b'}].")
            return "must be a list", example
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a mapping of keys", "Write `key: value` lines below it, indented."
        case "string_too_short" | "too_short":
            return "is empty", "Write a value, or leave the key out."
        case "string_too_long":
            return "is too long", f"Write {context.get('max_length', 1)} character(s) at most."
        case _:
            return f"cannot be used: {message}", ""


def _missing(document: Document, path: Path) -> Problem:
    fix = _EXAMPLES.get(path_text(path), "")
    if path in document.key_marks:
        return Problem(document.place(path, of_key=True), f"`{path_text(path)}` has no value.", fix=fix)
    where = path_text(path[:-1])
    what = f"`{path[-1]}` is missing in `{where}`." if where else f"`{path[-1]}` is missing."
    return Problem(document.place(path[:-1], of_key=True), what, fix=fix)


def _unknown_key(model: type[Model], document: Document, path: Path) -> Problem:
    key, where = str(path[-1]), path_text(path[:-1])
    what = f"Unknown key `{shown(key)}`" + (f" in `{where}`." if where else ".")
    here = _model_at(model, path[:-1])
    known = sorted(here.keys()) if here is not None else []
    fix = f"Known keys: {', '.join(known)}."
    elsewhere = [p for p in _ELSEWHERE if p.rpartition(".")[2] == key and "*" not in p]
    meant = nearest(key, known)
    if model is IngestionSpec and elsewhere:
        parent = elsewhere[0].rpartition(".")[0]
        fix = f"`{key}` belongs under `{parent}`." if parent else f"`{key}` belongs to the top of the document."
    elif meant is not None:
        fix = f"Did you mean `{meant}`?"
    return Problem(document.place(path, of_key=True), what, fix=fix)


def _model_at(model: type[Model], path: Path) -> type[Model] | None:
    """The model of the mapping at a path."""
    annotation: Any = model
    for part in path:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif isinstance(part, str):
            here = _model_in(annotation)
            fields = {field.alias or name: field for name, field in here.model_fields.items()} if here else {}
            annotation = fields[part].annotation if part in fields else None
    return _model_in(annotation)


def _model_in(annotation: Any) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _unavailable(document: Document) -> Iterable[Problem]:
    for path, mark in document.marks.items():
        pattern = pattern_of(path)
        for refused, why in NOT_AVAILABLE_YET.items():
            key, has_value, value = refused.partition("=")
            if key == pattern and (not has_value or value == document.written.get(path)):
                what = (
                    f"`{path_text(path)}` is not available yet"
                    if not has_value
                    else (f"`{path_text(path)}: {value}` is not available yet")
                )
                yield Problem(mark, f"{what}.", why, "Take it out for now.")

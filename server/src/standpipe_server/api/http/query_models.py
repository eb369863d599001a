"""Queries with many parameters, read in one step by a model.

FastAPI reads each parameter by itself, and looks at its type anew each time: of a list with fifteen of them that is
more than all the rest of the answer. Invariant: what is wrong is told as FastAPI tells it, and the document of the API
says the same as the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

_Query = TypeVar("_Query", bound=BaseModel)


def read_query(model: type[_Query], request: Request) -> _Query:
    """The query of a request; what the model does not know is passed over, of what counts once the last is taken.

    Raises:
        RequestValidationError: a value is none that its parameter takes.
    """
    query, repeatable = request.query_params, _repeatable(model)
    values = {name: query.getlist(name) if name in repeatable else value for name, value in query.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = [{**one, "loc": ("query", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(errors) from None


def describe_query(model: type[BaseModel]) -> dict[str, Any]:
    """The model's parameters for the OpenAPI document."""
    schema = model.model_json_schema(mode="validation")
    required = schema.get("required", ())
    return {
        "parameters": [
            _parameter(name, property_, required=name in required) for name, property_ in schema["properties"].items()
        ]
    }


def _parameter(name: str, property_: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    # A parameter that may be left out has no value that says so.
    schema = {key: value for key, value in property_.items() if not (key == "default" and value is None)}
    parameter = {"name": name, "in": "query", "required": required, "schema": schema}
    description = schema.get("description")
    return parameter if description is None else {**parameter, "description": description}


@cache
def _repeatable(model: type[BaseModel]) -> frozenset[str]:
    """The parameters that may be given several times: the lists."""
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if any(get_origin(kind) is list for kind in (field.annotation, *get_args(field.annotation)))
    )

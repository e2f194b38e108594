"""Files of JSON lines."""

import pytest

from models.errors import UserError
from pipelines import json_lines


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"a": 1}\n{"a"', "x.jsonl, line 2 is broken"), (b"\n[1]\n", "x.jsonl, line 2 is not a JSON object; wanted it")],
)
def test_a_line_that_is_no_object_is_named(content, said):
    with pytest.raises(UserError, match=said):
        list(json_lines.parse("x.jsonl", content, "it"))

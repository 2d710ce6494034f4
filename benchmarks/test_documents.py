"""Documents that quote figures are generated from the model, and must be current."""

from __future__ import annotations

import pytest

from docs.generators import DOCUMENTS, FOLDER


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_document_is_current(name: str) -> None:
    stored = (FOLDER / name).read_text(encoding="utf-8")
    assert DOCUMENTS[name]() == stored, f"docs/{name} is not current: nox -s docs"

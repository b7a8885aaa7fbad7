"""One byte form for each value, so that equal content has equal hashes."""

import json

from pydantic import BaseModel


def canonical_json(model: BaseModel) -> bytes:
    """Keys sorted, two spaces, UTF-8, one newline at the end."""
    content = model.model_dump(mode="json")
    text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"

"""The card of a model folder."""

from __future__ import annotations

from typing import Any

CARD = """\
# {name}

{architecture} for {task}, exported from the Hugging Face checkpoint `{name}` for Labelstream.

| | |
| --- | --- |
| labels | {labels} |
| precision | {precision} |
| longest text | {max_length} tokens, special ones included |
| written with | labelstream_export {exporter}, transformers {transformers}, torch {torch} |

**Checked.** The exported module was loaded again and compared with the checkpoint's own model on
{texts} rows of 1 to {max_length} tokens in batches of several shapes: the largest difference of a
logit was {difference:.1e}; between a padded row and the same row alone it was
{padding_difference:.1e}.

**Limits.** Longer texts are cut, and their records say so (`truncated`). What the model was trained
on, how good it is and where it fails is told by the checkpoint's own card, not by this export: see
there, and write it here.
"""


def card(manifest: dict[str, Any], name: str, labels: list[str]) -> str:
    """The text of ``README.md``.

    Args:
        manifest: the content of ``labelstream.json``.
        name: the checkpoint's.
        labels: the names of the classes, in index order.
    """
    versions, checked = manifest["versions"], manifest["checked"]
    shown = ", ".join(f"`{label}`" for label in labels[:20]) + (", …" if len(labels) > 20 else "")
    return CARD.format(
        name=name,
        architecture=manifest["architecture"],
        task=manifest["task"].replace("_", " "),
        labels=shown,
        precision=manifest["precision"],
        max_length=manifest["max_length"],
        exporter=versions["labelstream_export"],
        transformers=versions["transformers"],
        torch=versions["torch"],
        texts=checked["texts"],
        difference=checked["largest_difference"],
        padding_difference=checked["largest_padding_difference"],
    )

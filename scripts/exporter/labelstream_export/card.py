"""The card of a model folder."""

from __future__ import annotations

from typing import Any

from labelstream_export.tasks import TEXT_GENERATION

CARD = """\
# {name}

{architecture} for {task}, exported from the Hugging Face checkpoint `{name}` for Labelstream.

| | |
| --- | --- |
| labels | {labels} |
| precision | {precision} |
| longest text | {max_length} tokens, special ones included |{explanations}
| written with | labelstream_export {exporter}, transformers {transformers}, torch {torch} |

{checked}

**Limits.** Longer texts are cut, and their records say so (`truncated`). What the model was trained
on, how good it is and where it fails is told by the checkpoint's own card, not by this export: see
there, and write it here.
"""

ENCODER_CHECKED = """\
**Checked.** The exported module was loaded again and compared with the checkpoint's own model on
{texts} rows of 1 to {max_length} tokens in batches of several shapes: the largest difference of a
logit was {difference:.1e}; between a padded row and the same row alone it was
{padding_difference:.1e}."""

GENERATOR_CHECKED = """\
**Checked.** The exported module was loaded again and compared with the checkpoint's own model on
{texts} rows of 1 to {max_length} tokens, read at once, in chunks and token by token: the largest
difference of a logit was {difference:.1e}; between a row in chunks and the whole batch at once it
was {padding_difference:.1e}."""

GRADIENTS = """

**Explanations.** Gradients with respect to the embeddings, as `{module}` gives them, were compared
with those of PyTorch's autograd on the checkpoint's own model on {texts} rows: the largest
difference (relative, L2) was {difference:.1e}; between a padded row and the same row alone it was
{padding_difference:.1e}."""

AGREEMENT = """

**Precision.** On {agreed_texts} {agreed_on} texts {equal:.2%} of {decisions} decisions were those
of the checkpoint in fp32."""

NOT_DONE = """

**Not done.** The checkpoint's own settings ask for what is not done here, so that texts may differ
from those of `generate()`: {settings}."""


def card(manifest: dict[str, Any], name: str, labels: list[str]) -> str:
    """The text of ``README.md``.

    Args:
        manifest: the content of ``labelstream.json``.
        name: the checkpoint's.
        labels: the names of the classes, in index order.
    """
    versions, checked = manifest["versions"], manifest["checked"]
    shown = ", ".join(f"`{label}`" for label in labels[:20]) + (", …" if len(labels) > 20 else "")
    template = GENERATOR_CHECKED if manifest["task"] == TEXT_GENERATION.name else ENCODER_CHECKED
    told = template.format(
        texts=checked["texts"],
        max_length=manifest["max_length"],
        difference=checked["largest_difference"],
        padding_difference=checked["largest_padding_difference"],
    )
    if "agreement" in checked:
        agreement = checked["agreement"]
        told += AGREEMENT.format(
            agreed_texts=agreement["texts"],
            agreed_on=agreement["on"],
            equal=agreement["equal"],
            decisions=agreement["decisions"],
        )
    if "not_done" in manifest:
        told += NOT_DONE.format(settings=", ".join(f"`{each}`" for each in manifest["not_done"]))
    explanations = ""
    if "explain" in manifest:
        in_fp32 = ", in fp32" if manifest["precision"] != "fp32" else ""
        by = f"`{manifest['explain']}`{in_fp32}"
        explanations = f"\n| explanations | layer integrated gradients, by {by} |"
        explained = checked["explanations"]
        told += GRADIENTS.format(
            module=manifest["explain"],
            texts=explained["texts"],
            difference=explained["largest_gradient_difference"],
            padding_difference=explained["largest_padding_difference"],
        )
    return CARD.format(
        name=name,
        architecture=manifest["architecture"],
        task=manifest["task"].replace("_", " "),
        labels=shown or "none",
        precision=manifest["precision"],
        max_length=manifest["max_length"],
        explanations=explanations,
        exporter=versions["labelstream_export"],
        transformers=versions["transformers"],
        torch=versions["torch"],
        checked=told,
    )

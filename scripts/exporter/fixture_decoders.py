"""What transformers' ``convert_tokens_to_string`` makes of tokens, for each kind of decoder.

The token classification pipeline gives it groups of tokens in which each unknown one was replaced
by what the text has there, so that any string may stand among them.
"""

from __future__ import annotations

from typing import Any

import transformers
from transformers import PreTrainedTokenizerFast

MARKS = {"WordPiece": "##", "ByteLevel": "Ġ", "Metaspace": "▁", "Sequence": "▁"}
# ``@`` stands for the mark of the kind, of a piece inside a word or of one that begins a word.
GROUPS = (
    ["Anna"],
    ["@Anna"],
    ["@Anna", "@lives", "in", "@Paris"],
    ["An", "@na", "lives"],
    ["@", "Anna"],
    ["@", "@", "@"],
    ["@@Anna", "@@lives"],
    ["Anna", "@", ".", ",", "!"],
    ["do", "not", "n", "'", "t", "'", "s"],
    ["@do", "@not", "@n't", "@'s", "@'m", "@,"],
    ["a", " .", "b ,c", "d n't", " do not"],
    ["two words", "@three more words"],
    ["é", "ĠÃ©", "Ã", "©"],
    ["ð", "Ł", "ĺ", "Ģ"],
    ["ðŁĺ", "Anna"],
    ["日本", "@語", "🙂"],
    ["ᚠᚢᚦ", "@Anna", "ᚨᚱᚲ"],
    ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "@Anna"],
    ["<0xF0>", "<0x9F>", "Anna", "<0x41>"],
    ["", "Anna", ""],
    [" ", "@Anna", " "],
    ["a@b", "c@", "d"],
    ["[CLS]", "@Anna", "</s>"],
    ["\n", "@\t", "Anna"],
    [],
)


def results(tokenizers: dict[str, PreTrainedTokenizerFast]) -> dict[str, Any]:
    """The content of ``decoders.expected.json``: for each of ``kinds`` the type of its ``decoder``,
    an ``architecture`` whose ``tokenizer.json`` has it, and ``groups``, pairs of tokens and text.

    Args:
        tokenizers: by their architecture.
    """
    content: dict[str, Any] = {"transformers": transformers.__version__, "kinds": []}
    for architecture, tokenizer in tokenizers.items():
        kind = type(tokenizer.backend_tokenizer.decoder).__name__
        groups = [[token.replace("@", MARKS[kind]) for token in group] for group in GROUPS]
        content["kinds"].append(
            {
                "decoder": kind,
                "architecture": architecture,
                "groups": [[group, tokenizer.convert_tokens_to_string(group)] for group in groups],
            }
        )
    return content

"""Rows of tokens such as texts give: the tokenizer's own special tokens, and others between them
at random."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

# In which order a module takes them; no other input can be exported.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SEED = 20_250_101


class Rows:
    """Makes rows of given lengths.

    Attributes:
        padding: the id that rows are padded with.
        least: tokens of the shortest row.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        vocabulary: int,
        inputs: Sequence[str],
        pairs: bool = False,
        padding: int | None = None,
    ) -> None:
        """
        Args:
            tokenizer: whose rows they are like.
            vocabulary: how many ids the model has embeddings for.
            inputs: of ``INPUTS``, what a batch is made of.
            pairs: whether every row has two parts, as a question and a context.
            padding: the id that rows are padded with; None for the tokenizer's, or any where it has
                none: padding is masked.
        """
        self.tokenizer = tokenizer
        self.inputs = tuple(inputs)
        self.pairs = pairs
        ids = (padding, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self.padding = next(at for at in ids if at is not None)
        self.generator = torch.Generator().manual_seed(SEED)
        special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
        # A token that means something to the model stands where the tokenizer puts it.
        special.add(self.padding)
        usable = [at for at in sorted(tokenizer.get_vocab().values()) if at < vocabulary]
        ordinary = [at for at in usable if at not in special]
        self.ordinary = torch.tensor(ordinary or usable)
        fixed = tokenizer.num_special_tokens_to_add(pair=pairs)
        self.least = max(1, fixed + 2 if pairs else fixed)
        self._text = ""

    def batch(self, lengths: Sequence[int]) -> tuple[Tensor, ...]:
        """Rows of these lengths, or of ``least`` where that is more, padded on the right.

        Returns:
            One int64 tensor [len(lengths), longest] for each of ``inputs``.
        """
        made = [self._row(max(length, self.least)) for length in lengths]
        return tuple(
            torch.nn.utils.rnn.pad_sequence(
                [row[name] for row in made],
                batch_first=True,
                padding_value=self.padding if name == "input_ids" else 0,
            )
            for name in self.inputs
        )

    def lengths(self, lengths: Sequence[int]) -> list[int]:
        """How long the rows of ``batch(lengths)`` are."""
        return [max(length, self.least) for length in lengths]

    def _row(self, length: int) -> dict[str, Tensor]:
        text = self._words(length)
        encoded = self.tokenizer(
            *([text, text] if self.pairs else [text]),
            truncation=True,
            max_length=length,
            return_special_tokens_mask=True,
            return_token_type_ids=True,
            return_tensors="pt",
            verbose=False,
        )
        row = {name: encoded[name][0] for name in INPUTS}
        drawn = torch.randint(len(self.ordinary), row["input_ids"].shape, generator=self.generator)
        fixed = encoded["special_tokens_mask"][0].bool()
        row["input_ids"] = torch.where(fixed, row["input_ids"], self.ordinary[drawn])
        return row

    def _words(self, length: int) -> str:
        """A text of at least so many tokens."""
        text = self._text[: 16 * length]
        while len(self.tokenizer(text, verbose=False)["input_ids"]) < length:
            # Words of a letter: as many tokens as letters at least, whatever the vocabulary.
            self._text = (self._text or "a b 1 . c ") * 2
            text = self._text
        return text

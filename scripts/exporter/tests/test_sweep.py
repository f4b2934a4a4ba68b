"""A sample of the sweep over architectures: one of each kind that needs something of its own."""

from __future__ import annotations

import pytest

from labelstream_export.tasks import find_task
from sweep import Outcome, small_config, sweep, table

SAMPLE = (
    ("ner", "qwen3"),
    ("ner", "gemma2"),
    ("ner", "xlnet"),  # padding on the left
    ("qa", "gpt2"),
    ("qa", "bart"),
    ("text-classification", "bloom"),
    ("text-classification", "t5"),  # a head that looks for the end
    ("text-classification", "gpt_neox"),
    ("text-generation", "gemma3_text"),
    ("text-generation", "gpt_neox"),
)


@pytest.mark.parametrize(("task", "architecture"), SAMPLE)
def test_tiny_checkpoint_is_equal(task, architecture, tmp_path):
    outcome = sweep(architecture, find_task(task), tmp_path / "sweep")
    assert (outcome.kind, outcome.why) == ("equal", "")


@pytest.mark.parametrize(
    ("architecture", "why"),
    [
        ("bert", "BertLMHeadModel cannot be traced"),
        ("open-llama", "OpenLlamaForCausalLM cannot be traced"),
        ("pegasus", "PegasusForCausalLM takes no position_ids"),
        ("rwkv", "keeps no keys and values"),
    ],
)
def test_generator_that_cannot_go_out_is_refused(architecture, why, tmp_path):
    outcome = sweep(architecture, find_task("text-generation"), tmp_path / "sweep")
    assert outcome.kind == "refused", outcome.why
    assert why in outcome.why


def test_table_counts_and_gives_each_reason_once():
    task = find_task("ner")
    outcomes = [
        Outcome("bert", task, "equal"),
        Outcome("fnet", task, "refused", "it has no mask"),
        Outcome("gnet", task, "refused", "it has no mask"),
    ]
    text = table(outcomes)
    assert "Of 3 pairs: 1 equal, 2 refused." in text
    assert "| bert |  | equal |  |  |" in text
    assert text.count("it has no mask") == 1
    assert text.count("refused (1)") == 2


def test_configurations_are_tiny(tmp_path):
    class Tokenizer:
        pad_token_id = bos_token_id = eos_token_id = cls_token_id = 0

        def __len__(self):
            return 600

    config = small_config("gemma3", Tokenizer(), find_task("text-classification"))
    assert config.text_config.hidden_size == 32
    assert config.num_labels == 3

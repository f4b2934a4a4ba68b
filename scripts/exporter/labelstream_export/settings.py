"""How a checkpoint's authors let it generate: written as the model has it, and looked at for what
is not done here."""

from __future__ import annotations

import json
from typing import Any

from transformers import PreTrainedModel

from labelstream_export.errors import ExportError
from labelstream_export.progress import say

# What a reader does nothing about, and the values that do not ask for it. The Java reader has the
# same list (GenerationConfig); reader-rules.json holds both to it.
NOT_DONE: dict[str, tuple[Any, ...]] = {
    "min_length": (0,),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "top_h": (),
    "num_beam_groups": (1,),
    "num_return_sequences": (1,),
    "diversity_penalty": (0.0,),
    "penalty_alpha": (0.0,),
    "encoder_repetition_penalty": (1.0,),
    "encoder_no_repeat_ngram_size": (0,),
    "guidance_scale": (1.0,),
    "sequence_bias": ({},),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "exponential_decay_length_penalty": (),
    "constraints": ([],),
    "force_words_ids": ([],),
    "renormalize_logits": (False,),
    "remove_invalid_values": (False,),
    "watermarking_config": (),
    "dola_layers": (),
}
WHOLE = ("num_beams", "no_repeat_ngram_size", "top_k", "max_new_tokens", "min_new_tokens")
# Only read where tokens are drawn, and what generate() takes of them then.
DRAWN = {
    "temperature": ("a number above 0", lambda value: value > 0),
    "top_k": ("a whole number of 0 or more", lambda value: value >= 0),
    "top_p": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "min_p": ("from 0 to 1", lambda value: 0 <= value <= 1),
}
ALWAYS = {
    "repetition_penalty": ("a number above 0", lambda value: value > 0),
    "no_repeat_ngram_size": ("a whole number of 0 or more", lambda value: value >= 0),
    "num_beams": ("a whole number of 1 or more", lambda value: value >= 1),
}


def generation_settings(model: PreTrainedModel, name: str) -> dict[str, Any]:
    """What ``generation_config.json`` is to hold: the settings of ``model.generation_config``,
    wherever the checkpoint has them.

    A setting that is only read where tokens are drawn, and would be refused there, is left out
    where the checkpoint does not draw: ``temperature: 0`` without ``do_sample`` means nothing.

    Raises:
        ExportError: ``generate()`` itself would refuse one.
    """
    settings = json.loads(model.generation_config.to_json_string())
    for setting in WHOLE:
        value = settings.get(setting)
        if isinstance(value, float) and value.is_integer():
            settings[setting] = int(value)
    draws = settings.get("do_sample") is True
    if draws and "top_k" in settings and settings["top_k"] is None:
        settings["top_k"] = 0  # no bound, as null is for generate()
    for setting, (range_, fits) in {**DRAWN, **ALWAYS}.items():
        value = settings.get(setting)
        if value is None or (isinstance(value, (int, float)) and fits(value)):
            continue
        if setting in DRAWN and not draws:
            del settings[setting]
            continue
        raise ExportError(
            f"{name} is to generate with {setting} {value}, which generate() refuses: it must be "
            f"{range_}; correct it in generation_config.json (or config.json)"
        )
    return {setting: value for setting, value in settings.items() if value is not None}


def not_done(settings: dict[str, Any]) -> list[str]:
    """The settings that ask for what is not done here, each with its value, which is also said."""
    found = [
        f"{setting} {json.dumps(settings[setting])}"
        for setting, neutral in NOT_DONE.items()
        if settings.get(setting) is not None and settings[setting] not in neutral
    ]
    if found:
        say(
            f"texts may differ from generate()'s, for the checkpoint asks for what is not done "
            f"here: {', '.join(found)}"
        )
    return found
